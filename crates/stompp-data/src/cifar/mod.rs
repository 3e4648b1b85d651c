//! CIFAR-10 and CIFAR-100 in their official binary layout.
//!
//! Source of the format: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, and the page
//! that the files come from, <https://www.cs.toronto.edu/~kriz/cifar.html>. A file is nothing but records: the label
//! (CIFAR-100: the coarse, then the fine label), one byte each, then the 32 x 32 pixels, 1024 bytes of red, 1024 of
//! green and 1024 of blue, each row by row.
//!
//! **Folders, archives and generated sets all end in one reader**, `record_file`, which checks every record. Nothing is
//! unpacked to disk, and of an archive only the base names of its members matter.

mod container;
mod layout;
mod record_file;
mod write;

pub use layout::{Layout, Split};

pub(crate) use container::read_memory;
pub(crate) use write::write_file;

use crate::{DataError, ImageSet};
use std::path::Path;

/// Side of every image of the layout.
pub const SIDE: usize = 32;

/// A training set and the test set that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Images to train on.
    pub train: ImageSet,
    /// Images to test on.
    pub test: ImageSet,
}

/// Reads the training and test images of `layout` from `path`, which is one of
///
/// - a folder with the binary files, or with the official subfolder ([`Layout::folder`]) that has them,
/// - the official archive, `.tar.gz`,
/// - a `.zip` of the same files.
///
/// Files may hold any number of records; the official ones hold 10 000 (CIFAR-100 `train.bin`: 50 000), which is not
/// required, so that smaller sets can be read too.
///
/// # Errors
/// A [`DataError`] that names the file (and archive) and, where a record is at fault, its index: a missing folder or
/// file, an archive that is damaged, cut off, of another data set or of another kind, a file name that occurs twice, a
/// file that is empty or not a whole number of records, a label out of range, or a size beyond 512 MiB (of one file, or
/// of all that a compressed archive expands to).
///
/// ```no_run
/// use stompp_data::cifar::{self, Layout};
///
/// let cifar10 = cifar::read("cifar-10-binary.tar.gz", Layout::Cifar10)?;
/// assert_eq!((cifar10.train.len(), cifar10.test.len()), (50_000, 10_000));
/// # Ok::<(), stompp_data::DataError>(())
/// ```
pub fn read(path: impl AsRef<Path>, layout: Layout) -> Result<Splits, DataError> {
    container::read_path(path.as_ref(), layout)
}
