//! The error type of this crate. Every variant names the cause and what was expected.
//!
//! Messages are complete: they end with the message of the system or library. That error is in a field spelled `r#source`, so that
//! `thiserror` does not report it again as the error's source.

use crate::Position;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where bytes came from: a file on disk, a member of an archive, or a file that exists in memory only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    container: PathBuf,
    member: Option<String>,
}

impl DataFile {
    /// A file on disk.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        Self {
            container: path.into(),
            member: None,
        }
    }

    /// `member` of the archive (or generated set) `container`.
    pub fn from_archive_member(container: impl Into<PathBuf>, member: impl Into<String>) -> Self {
        Self {
            container: container.into(),
            member: Some(member.into()),
        }
    }

    /// The file on disk, or the archive that holds the member.
    pub fn container(&self) -> &Path {
        &self.container
    }
}

impl fmt::Display for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            None => write!(f, "{}", self.container.display()),
            Some(member) => write!(f, "{member} in {}", self.container.display()),
        }
    }
}

/// Wraps an I/O error that occurred while reading `file`.
pub(crate) fn read_error(file: DataFile) -> impl FnOnce(io::Error) -> DataError {
    move |source| DataError::Read { file, source }
}

/// An error in the data, or in the arguments of a function of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file, folder or archive could not be opened or read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file, folder or archive.
        file: DataFile,
        /// The error of the operating system or the decoder.
        r#source: io::Error,
    },
    /// A file could not be written. No partial file is left.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        r#source: io::Error,
    },
    /// The path is neither a folder nor an archive of a known kind.
    #[error("{}: expected a folder, a .tar.gz or a .zip with the {layout} binary files", path.display())]
    UnknownContainer {
        /// The path.
        path: PathBuf,
        /// The expected data set.
        layout: &'static str,
    },
    /// A folder or archive lacks one of the files of its layout.
    #[error("{} has no {file}, which {layout} (binary version) needs; its .bin files: {found}", container.display())]
    MissingFile {
        /// The folder or archive.
        container: PathBuf,
        /// The missing file.
        file: &'static str,
        /// The expected data set.
        layout: &'static str,
        /// The `.bin` files that were found, or "none".
        found: String,
    },
    /// An archive has two files with the same name, so the name is ambiguous.
    #[error("{} holds {file} twice", container.display())]
    DuplicateFile {
        /// The archive.
        container: PathBuf,
        /// The name that occurs twice.
        file: String,
    },
    /// The declared size of a file exceeds the limit for its kind. It was not read.
    #[error("{file} is {bytes} bytes large; refused, the limit is {limit}")]
    TooLarge {
        /// The file or archive.
        file: DataFile,
        /// Its declared size; for a compressed archive, a lower bound of its expanded size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file has no record.
    #[error("{file} is empty; expected records of {record_bytes} bytes")]
    Empty {
        /// The file.
        file: DataFile,
        /// Bytes per record.
        record_bytes: usize,
    },
    /// The size of a file is not a whole number of records.
    #[error("{file}: record {record} is cut off after {bytes} of {record_bytes} bytes")]
    TruncatedRecord {
        /// The file.
        file: DataFile,
        /// Index of the last, incomplete record, from 0.
        record: u64,
        /// Bytes of that record in the file.
        bytes: u64,
        /// Bytes per record.
        record_bytes: usize,
    },
    /// A record could not be read, for example because the archive is cut off or damaged.
    #[error("{file}: cannot read record {record}: {source}")]
    Record {
        /// The file.
        file: DataFile,
        /// Index of the record in the file, from 0.
        record: u64,
        /// The error of the operating system or the decoder.
        r#source: io::Error,
    },
    /// A file is longer than its folder or archive declared.
    #[error("{file} is longer than its declared {bytes} bytes")]
    LongerThanDeclared {
        /// The file.
        file: DataFile,
        /// Its declared size.
        bytes: u64,
    },
    /// A label is out of the range of the data set.
    #[error("{file}: record {record} has {kind} {label}, expected 0 to {}", classes - 1)]
    LabelOutOfRange {
        /// The file.
        file: DataFile,
        /// Index of the record in the file, from 0.
        record: u64,
        /// Which label: "label", "coarse label" or "fine label".
        kind: &'static str,
        /// The label found.
        label: u8,
        /// The number of classes.
        classes: usize,
    },
    /// A set of image files does not have the expected layout.
    #[error("{}: {problem}", path.display())]
    Tree {
        /// The folder, archive or list of labels.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// An archive or folder of image files is damaged, so images may be missing.
    #[error("{0} (--on-bad-image skip uses the images that are left)")]
    Incomplete(String),
    /// An image file cannot be decoded.
    #[error("image {file}: {problem}")]
    BadImage {
        /// The file.
        file: DataFile,
        /// What is wrong with it.
        problem: String,
    },
    /// Too many images cannot be read.
    #[error(
        "{bad} of {images} images of {set} cannot be read, more than the {allowed} that may be left out; the first: {first}"
    )]
    TooManyBadImages {
        /// The set.
        set: String,
        /// Unreadable images found so far.
        bad: usize,
        /// Images in the set.
        images: usize,
        /// The number of unreadable images that is allowed.
        allowed: usize,
        /// The error of the first of them.
        first: String,
    },
    /// The parts of an image set do not fit together.
    #[error("image set {name}: {problem}")]
    Inconsistent {
        /// Name of the image set.
        name: String,
        /// What does not fit, and what was expected.
        problem: String,
    },
    /// The images cannot be averaged down to the requested size.
    #[error(
        "image set {name}: images of {height}x{width} cannot be averaged down to {size}x{size}: \
             both sides must be the same whole multiple of {size}"
    )]
    CannotShrink {
        /// Name of the image set.
        name: String,
        /// Height of its images.
        height: usize,
        /// Width of its images.
        width: usize,
        /// The requested side.
        size: usize,
    },
    /// The requested subset is empty or larger than the set.
    #[error("image set {name} has {has} images; a subset of {asked} cannot be taken from it")]
    SubsetSize {
        /// Name of the image set.
        name: String,
        /// Images in the set.
        has: usize,
        /// Requested images.
        asked: usize,
    },
    /// A mean or standard deviation is unusable for normalization.
    #[error("normalization needs finite means and finite positive standard deviations, got {mean:?} and {std:?}")]
    Normalization {
        /// Mean of each channel.
        mean: [f32; 3],
        /// Standard deviation of each channel.
        std: [f32; 3],
    },
    /// The description of a preprocessing is unknown, or the image side is out of range.
    #[error("preprocessing: {problem}")]
    Preprocessing {
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A synthetic set cannot be generated with the given sizes.
    #[error("synthetic set: {problem}")]
    Synthetic {
        /// Why it is not possible.
        problem: String,
    },
    /// The batch size is zero, or larger than the training set.
    #[error("a batch size of {batch_size} does not fit a set of {records} images: expected 1 to {records}")]
    BatchSize {
        /// Requested images per batch.
        batch_size: usize,
        /// Images in the set.
        records: usize,
    },
    /// Every image of a training batch was left out.
    #[error("no image of training batch {} of epoch {} can be read", .0.batch, .0.epoch)]
    EmptyBatch(Position),
    /// The number of loader threads was zero.
    #[error("a loader needs at least one worker thread")]
    NoWorkers,
    /// A thread could not be started.
    #[error("cannot start a thread: {source}")]
    Spawn {
        /// The error of the operating system.
        r#source: io::Error,
    },
    /// A loader thread panicked. This is a bug in the code that prepares examples.
    #[error("a loader thread panicked: {message}")]
    WorkerPanicked {
        /// The message of the panic.
        message: String,
    },
}
