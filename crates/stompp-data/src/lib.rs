#![doc = include_str!("../README.md")]
//!
//! # From a file to a batch
//!
//! 1. [`cifar::read`] reads CIFAR-10 or CIFAR-100 in the official binary layout, from a folder, a `.tar.gz` or a `.zip`;
//!    [`mnist::read_split`] does so for MNIST's files; [`synthetic::Synthetic`] makes a set in the same layout.
//! 2. All give an [`ImageSet`]: bytes in memory. [`ImageSet::subset`] and [`ImageSet::shrink_to`] make it smaller by
//!    rule; [`ImageSet::channel_statistics`] measures it.
//! 3. [`ImageExamples`] is the set seen through [`Normalization`] and, for training, [`Augmentation`]. Other sources of
//!    images implement [`Examples`].
//! 4. [`Loader`] prepares batches on other threads; [`Batches`] returns them in order. For a device that holds the images already,
//!    [`CropBatches`] says where to crop each.
//!
//! Image files: [`ImageTree`] lists them in a folder, a `.tar` or a `.zip`, and [`FileExamples`] reads, decodes and crops one when it is
//! needed. A file that cannot be read is an error, or left out and listed ([`BadImages`]). [`ImageTree::pack`] shrinks a set into one file.
//! [`UnlabelledImages`] finds images to classify in files, folders and archives.
//!
//! Training resumes in the middle of an epoch with nothing saved but the [`Position`].
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
pub use tree::{ImageFileSet, ImageTree, TreeChanges, TreeOptions};
pub use unlabelled::UnlabelledImages;
