//! CIFAR-10 and CIFAR-100 in their official binary layout.
//!
//! Source of the format: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, and the page
//! that the files come from, <https://www.cs.toronto.edu/~kriz/cifar.html>. A file is a sequence of records: the label
//! (CIFAR-100: the coarse, then the fine label), one byte each, then the 32 x 32 pixels, 1024 bytes of red, 1024 of
//! green and 1024 of blue, each row by row.
//!
//! **One reader, `record_file`, reads folders, archives and generated sets**, and checks every record. Nothing is
//! unpacked to disk. Folders inside an archive are ignored: only the base names of its members matter.

mod container;
mod layout;
mod record_file;
mod write;

pub use layout::{CifarLayout, Split};

pub(crate) use container::read_memory;
pub(crate) use write::write_file;

use crate::error::{DataFile, read_error};
use crate::{DataError, ImageSet};
use record_file::{Records, read_records};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Side of every image of the layout.
pub const SIDE: usize = 32;

/// A training set and its test set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Images to train on.
    pub train: ImageSet,
    /// Images to test on.
    pub test: ImageSet,
}

/// Reads the training and test images of `layout` from `path`, which is one of
///
/// - a folder with the binary files, directly or in the official subfolder ([`CifarLayout::folder`]),
/// - the official archive, `.tar.gz`, or the `.tar` in it,
/// - a `.zip` of the same files.
///
/// The official files have 10 000 records (CIFAR-100 `train.bin`: 50 000), but any number is accepted, so that smaller
/// sets can be read too.
///
/// # Errors
/// Returns a [`DataError`] that names the file (and archive) and, where a record is at fault, its index: a missing folder or
/// file, an archive that is damaged, cut off, of another data set or of another kind, a file name that occurs twice, a
/// file that is empty or not a whole number of records, a label out of range, or a size beyond 512 MiB (of one file, or
/// of all that a compressed archive expands to).
///
/// ```no_run
/// use stompp_data::cifar::{self, CifarLayout};
///
/// let cifar10 = cifar::read("cifar-10-binary.tar.gz", CifarLayout::Cifar10)?;
/// assert_eq!((cifar10.train.len(), cifar10.test.len()), (50_000, 10_000));
/// # Ok::<(), stompp_data::DataError>(())
/// ```
pub fn read(path: impl AsRef<Path>, layout: CifarLayout) -> Result<Splits, DataError> {
    let mut files = container::collect(path.as_ref(), layout, &Split::ALL)?;
    Ok(Splits {
        train: files.take_split(layout.name(), Split::Train)?,
        test: files.take_split(layout.name(), Split::Test)?,
    })
}

/// Like [`read`], but reads only one split. The files of the other split may be missing.
///
/// # Errors
/// Same as [`read`].
pub fn read_split(path: impl AsRef<Path>, layout: CifarLayout, split: Split) -> Result<ImageSet, DataError> {
    container::collect(path.as_ref(), layout, &[split])?.take_split(layout.name(), split)
}

/// Reads one binary file of `layout`, with any file name. The set is named after the path.
///
/// # Errors
/// Same as [`read`].
pub(crate) fn read_file(path: &Path, layout: CifarLayout) -> Result<ImageSet, DataError> {
    let here = || DataFile::from_path(path);
    let file = File::open(path).map_err(read_error(here()))?;
    let bytes = file.metadata().map_err(read_error(here()))?.len();
    let Records { pixels, labels } = read_records(&here(), layout, bytes, BufReader::new(file))?;
    ImageSet::new(
        path.display().to_string(),
        (SIDE, SIDE),
        layout.classes(),
        pixels,
        labels,
    )
}

/// Like [`read`], but one of the splits is enough. Returns the splits that were found, training images first.
///
/// # Errors
/// Same as [`read`]; also an error if a split has only some of its files.
pub fn read_available(path: impl AsRef<Path>, layout: CifarLayout) -> Result<Vec<ImageSet>, DataError> {
    let mut files = container::collect(path.as_ref(), layout, &Split::ALL)?;
    let mut found: Vec<Split> = Split::ALL.into_iter().filter(|&split| files.has_split(split)).collect();
    if found.is_empty() {
        // The error names the missing file.
        found.push(Split::Train);
    }
    found
        .into_iter()
        .map(|split| files.take_split(layout.name(), split))
        .collect()
}
