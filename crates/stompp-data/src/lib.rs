#![doc = include_str!("../README.md")]
//!
//! # From a file to a batch
//!
//! 1. [`cifar::read`] reads CIFAR-10 or CIFAR-100 in the official binary layout, from a folder, a `.tar.gz` or a `.zip`;
//!    [`mnist::read_split`] reads MNIST's files; [`synthetic::Synthetic`] generates a set in the layout of CIFAR.
//! 2. All of them return an [`ImageSet`]: bytes in memory. [`ImageSet::subset`] selects fewer images, [`ImageSet::shrink_to`] makes
//!    the images smaller, and [`ImageSet::channel_statistics`] computes their mean and standard deviation.
//! 3. [`ImageExamples`] applies [`Normalization`] to the images and, for training, [`Augmentation`]. Other sources of
//!    images implement [`Examples`].
//! 4. [`Loader`] prepares batches on other threads; [`Batches`] returns them in order. If a device already holds the images,
//!    [`CropBatches`] returns the place of each crop instead of pixels.
//!
//! For image files, [`ImageTree`] lists a folder, a `.tar` or a `.zip`, and [`FileExamples`] reads, decodes and crops one file when it is
//! needed. An unreadable file is an error, or it is skipped and listed ([`BadImages`]). [`ImageTree::pack`] shrinks a set into one file.
//! [`UnlabelledImages`] finds images to classify in files, folders and archives.
//!
//! To resume training in the middle of an epoch, only the [`Position`] has to be saved.
#![forbid(unsafe_code)]

mod augment;
pub mod check;
pub mod cifar;
mod codec;
mod crop;
mod error;
mod examples;
mod file_examples;
mod image_set;
mod loader;
pub mod mnist;
mod names;
mod order;
mod pack;
mod preprocessing;
mod sheet;
mod shrink;
mod statistics;
mod store;
mod subset;
pub mod synthetic;
mod tree;
mod unlabelled;

pub use augment::{Augmentation, CropParams};
pub use crop::CropAugmentation;
pub use error::{DataError, DataFile};
pub use examples::{Examples, ImageExamples};
pub use file_examples::{BadImages, FileExamples, OnBadImage};
pub use image_set::{CHANNELS, ImageSet};
pub use loader::{Batch, Batches, CropBatch, CropBatches, Loader, Position};
pub use order::epoch_order;
pub use pack::PackedImages;
pub use preprocessing::{Preprocessing, ResizeMethod};
pub use sheet::contact_sheet;
pub use statistics::{ChannelStatistics, Normalization};
pub use subset::Labelled;
pub use tree::{ImageFileSet, ImageTree, Progress, SavedList, TreeChanges, TreeOptions};
pub use unlabelled::UnlabelledImages;
