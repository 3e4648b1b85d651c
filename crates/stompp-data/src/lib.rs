//! Images in: labelled images from files or out of a seed, augmented, shuffled and handed over in batches.
//!
//! The crate **is useful alone**: it knows files, image formats and random streams, and nothing of tensors, networks or
//! training. A [`Batch`] is plain vectors, so any library of tensors can take it.
//!
//! The way of an image:
//!
//! 1. [`cifar::read`] reads CIFAR-10 or CIFAR-100 in the official binary layout, from a folder, a `.tar.gz` or a `.zip`,
//!    **and checks every record**; [`mnist::read_split`] does so for MNIST's files; or [`synthetic::Synthetic`] makes a set in the same layout, with nothing to download.
//! 2. Both give an [`ImageSet`]: bytes in memory. [`ImageSet::subset`] and [`ImageSet::shrink_to`] make it smaller by
//!    rule; [`ImageSet::channel_statistics`] measures it.
//! 3. [`ImageExamples`] is the set seen through [`Normalization`] and, for training, [`Augmentation`]. Other sources of
//!    images implement [`Examples`].
//! 4. [`Loader`] prepares batches on other threads; [`Batches`] hands them over in order. For whoever holds the images already,
//!    [`CropBatches`] says where to crop each.
//!
//! Sets that memory does not hold are image files: [`ImageTree`] lists them in a folder, a `.tar` or a `.zip`, and
//! [`FileExamples`] reads, decodes and crops one when it is wanted. What cannot be read is an error, or left out and listed
//! ([`BadImages`]). [`check`] says what is in a set, [`contact_sheet`] shows it, [`ImageTree::pack`] shrinks it into one file.
//!
//! [`Preprocessing`] prepares one image outside of training, to the same bits as an evaluation; [`UnlabelledImages`] finds images to
//! classify in files, folders and archives.
//!
//! **Order and augmentation are pure functions of (seed, epoch, record).** So the sequence of batches is the same to the
//! bit whatever the number of threads, and training resumes in the middle of an epoch with nothing saved but the
//! [`Position`].
//!
//! **Bad data never panics**: every fault is a [`DataError`] that names the file and the record. Sizes are checked before
//! memory is taken. Archives of images are not unpacked.
//!
//! ```no_run
//! use stompp_data::cifar::{self, CifarLayout};
//! use stompp_data::{Augmentation, ImageExamples, Loader, Normalization, Position};
//! use std::sync::Arc;
//!
//! let seed = 0;
//! let sets = cifar::read("cifar-10-binary.tar.gz", CifarLayout::Cifar10)?;
//! let normalization = Normalization::new(sets.train.channel_statistics())?;
//! let examples = ImageExamples::with_augmentation(Arc::new(sets.train), normalization, Augmentation { padding: 4 }, seed);
//! let loader = Loader { batch_size: 256, workers: 1 };
//! let steps = 3 * loader.batches_per_epoch(50_000);
//! for batch in loader.train(Arc::new(examples), seed, Position::default())?.take(steps) {
//!     let batch = batch?;
//!     println!("{:?}: images of shape {:?}", batch.position, batch.shape);
//! }
//! # Ok::<(), stompp_data::DataError>(())
//! ```
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
