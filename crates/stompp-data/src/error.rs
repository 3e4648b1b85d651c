//! The one error type of this crate: every variant names the thing at fault and what was expected of it.
//!
//! Messages are whole: they end with what the system or a library said. That part is a field spelled `r#source`, which keeps
//! `thiserror` from offering it a second time as the error's source.

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

/// Makes the error of reading `file` out of what the operating system said.
pub(crate) fn read_error(file: DataFile) -> impl FnOnce(io::Error) -> DataError {
    move |source| DataError::Read { file, source }
}

/// What can be wrong with data, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file, folder or archive could not be opened or read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// What was read.
        file: DataFile,
        /// What the operating system or the decoder said.
        r#source: io::Error,
    },
    /// A file could not be written; nothing is left in its place.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder that was to be written.
        path: PathBuf,
        /// What the operating system said.
        r#source: io::Error,
    },
    /// Neither a folder nor an archive of a known kind.
    #[error("{}: expected a folder, a .tar.gz or a .zip with the {layout} binary files", path.display())]
    UnknownContainer {
        /// What was given.
        path: PathBuf,
        /// The data set that was looked for.
        layout: &'static str,
    },
    /// A folder or archive lacks one of the files of its layout.
    #[error("{} has no {file}, which {layout} (binary version) needs; its .bin files: {found}", container.display())]
    MissingFile {
        /// The folder or archive.
        container: PathBuf,
        /// The file looked for.
        file: &'static str,
        /// The data set that was looked for.
        layout: &'static str,
        /// The `.bin` files that are there, or "none".
        found: String,
    },
    /// An archive holds two files of one name, so that it is not known which one is meant.
    #[error("{} holds {file} twice", container.display())]
    DuplicateFile {
        /// The archive.
        container: PathBuf,
        /// The name that occurs twice.
        file: String,
    },
    /// A file says that it is larger than any file of its kind; it was not read.
    #[error("{file} is {bytes} bytes large; refused, the limit is {limit}")]
    TooLarge {
        /// The file or archive.
        file: DataFile,
        /// Its declared (or, for a compressed archive, at least its expanded) size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file without a single record.
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
        /// Bytes of it that are there.
        bytes: u64,
        /// Bytes per record.
        record_bytes: usize,
    },
    /// A record could not be read, for example because the archive ends or is damaged there.
    #[error("{file}: cannot read record {record}: {source}")]
    Record {
        /// The file.
        file: DataFile,
        /// Index of the record in the file, from 0.
        record: u64,
        /// What the operating system or the decoder said.
        r#source: io::Error,
    },
    /// A file goes on after the end that its folder or archive declared.
    #[error("{file} goes on after its declared {bytes} bytes")]
    LongerThanDeclared {
        /// The file.
        file: DataFile,
        /// Its declared size.
        bytes: u64,
    },
    /// A label that the data set does not have.
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
    /// A set of image files that is not laid out as one.
    #[error("{}: {problem}", path.display())]
    Tree {
        /// The folder, archive or list of labels.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// An archive or folder of image files that is damaged, so that images may be missing.
    #[error("{0} (--on-bad-image skip goes on with what is there)")]
    Incomplete(String),
    /// A file that should be an image and cannot be decoded.
    #[error("image {file}: {problem}")]
    BadImage {
        /// The file.
        file: DataFile,
        /// What is wrong with it.
        problem: String,
    },
    /// More images than allowed cannot be read.
    #[error(
        "{bad} of {images} images of {set} cannot be read, more than the {allowed} that may be left out; the first: {first}"
    )]
    TooManyBadImages {
        /// The set.
        set: String,
        /// Images found bad so far.
        bad: usize,
        /// Images in the set.
        images: usize,
        /// Images that may be bad.
        allowed: usize,
        /// One of them, and what is wrong with it.
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
    /// A size that the images cannot be averaged down to.
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
        /// The side asked for.
        size: usize,
    },
    /// A subset that is empty or larger than the set.
    #[error("image set {name} has {has} images; a subset of {asked} cannot be taken from it")]
    SubsetSize {
        /// Name of the image set.
        name: String,
        /// Images in the set.
        has: usize,
        /// Images asked for.
        asked: usize,
    },
    /// A mean or standard deviation that cannot be used for normalization.
    #[error("normalization needs finite means and finite positive standard deviations, got {mean:?} and {std:?}")]
    Normalization {
        /// Mean of each channel.
        mean: [f32; 3],
        /// Standard deviation of each channel.
        std: [f32; 3],
    },
    /// A way to prepare images that is not known, or not possible.
    #[error("preprocessing: {problem}")]
    Preprocessing {
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// A synthetic set that cannot be made.
    #[error("synthetic set: {problem}")]
    Synthetic {
        /// What was asked that is not possible.
        problem: String,
    },
    /// A batch size of zero, or one larger than the training set, of which no batch could ever be filled.
    #[error("a batch size of {batch_size} does not fit a set of {records} images: expected 1 to {records}")]
    BatchSize {
        /// Images per batch asked for.
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
    /// A loader thread could not be started.
    #[error("cannot start a loader thread: {source}")]
    Spawn {
        /// What the operating system said.
        r#source: io::Error,
    },
    /// A loader thread panicked: a defect in the code that prepares examples.
    #[error("a loader thread panicked: {message}")]
    WorkerPanicked {
        /// The message of the panic.
        message: String,
    },
}
