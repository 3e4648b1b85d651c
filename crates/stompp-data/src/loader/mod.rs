//! Batches prepared on other threads, ahead of whoever trains. **Their bits do not depend on the number of threads.**
//!
//! Worker `w` of `n` prepares the batches `w`, `w + n`, `w + 2n`, ... into a channel of its own, and the consumer takes
//! one from each channel in turn. So batches come in order without any sorting, and a slow batch delays nothing but
//! itself. Nothing about the position is kept anywhere but in the position: a loader may start at any batch of any
//! epoch.

mod crop_batches;
mod plan;
mod worker;

pub use crop_batches::{CropBatch, CropBatches};
pub use plan::Position;

use crate::{DataError, Examples};
use plan::{BatchPlan, LoadMode};
use std::sync::Arc;
use worker::Worker;

/// Labelled images, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Which batch this is.
    pub position: Position,
    /// Shape of `images`: images, channels, height, width.
    pub shape: [usize; 4],
    /// Pixel values, in the order of `shape`.
    pub images: Vec<f32>,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The index of each image in its set.
    pub indices: Vec<usize>,
}

/// How batches are made.
///
/// At most `workers * 3` batches are in memory besides those that the consumer holds: per worker two in its channel
/// and one being prepared. A batch has `batch_size * 3 * height * width * 4` bytes. For [`FileExamples`](crate::FileExamples)
/// add for each worker the file and the decoded image that it is at (and once more the image, if it has an orientation).
///
/// ```
/// use stompp_data::synthetic::{Synthetic, SyntheticKind};
/// use stompp_data::{Augmentation, ImageExamples, Loader, Normalization, Position};
/// use std::sync::Arc;
///
/// let sets = Synthetic { kind: SyntheticKind::Shapes, seed: 0, train: 50, test: 25 }.generate()?;
/// let normalization = Normalization::new(sets.train.channel_statistics())?;
/// let augmentation = Augmentation { padding: 4 };
/// let train = ImageExamples::with_augmentation(Arc::new(sets.train), normalization.clone(), augmentation, 1);
/// let test = ImageExamples::new(Arc::new(sets.test), normalization);
///
/// let loader = Loader { batch_size: 20, workers: 2 };
/// for batch in loader.train(Arc::new(train), 1, Position::default())?.take(3) {
///     assert_eq!(batch?.shape, [20, 3, 32, 32]); // Two in the first epoch, then the first of the second.
/// }
/// let sizes: Vec<usize> = loader.evaluate(Arc::new(test))?.map(|batch| batch.unwrap().labels.len()).collect();
/// assert_eq!(sizes, [20, 5]);
/// # Ok::<(), stompp_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loader {
    /// Images per batch.
    pub batch_size: usize,
    /// Threads that prepare batches.
    pub workers: usize,
}

impl Loader {
    /// Number of batches in an epoch of training: whole ones only.
    pub fn batches_per_epoch(&self, records: usize) -> usize {
        records.checked_div(self.batch_size).unwrap_or(0)
    }

    /// Batches for training, from `start` on and without end, each epoch in the order that `seed` gives it
    /// ([`epoch_order`](crate::epoch_order)). The records that do not fill a last batch are left out of that epoch. A
    /// start beyond the end of its epoch counts on into the next ones.
    ///
    /// # Errors
    /// [`DataError::BatchSize`] if the batch size is zero or larger than the set, [`DataError::NoWorkers`], and
    /// [`DataError::Spawn`] if a thread cannot be started.
    pub fn train<E: Examples + ?Sized + 'static>(
        &self,
        examples: Arc<E>,
        seed: u64,
        start: Position,
    ) -> Result<Batches, DataError> {
        let records = examples.len();
        if self.batch_size > records {
            return Err(DataError::BatchSize {
                batch_size: self.batch_size,
                records,
            });
        }
        self.start(examples, LoadMode::Training { seed }, start)
    }

    /// All records once, in order, in epoch 0; the last batch may be smaller.
    ///
    /// # Errors
    /// As [`train`](Self::train), except that the batch may be larger than the set.
    pub fn evaluate<E: Examples + ?Sized + 'static>(&self, examples: Arc<E>) -> Result<Batches, DataError> {
        self.start(examples, LoadMode::Evaluation, Position::default())
    }

    fn start<E: Examples + ?Sized + 'static>(
        &self,
        examples: Arc<E>,
        pass: LoadMode,
        start: Position,
    ) -> Result<Batches, DataError> {
        let (batch_size, records) = (self.batch_size, examples.len());
        if batch_size == 0 {
            return Err(DataError::BatchSize { batch_size, records });
        }
        if self.workers == 0 {
            return Err(DataError::NoWorkers);
        }
        let plan = BatchPlan {
            records,
            batch_size,
            pass,
        };
        let spawn = |first| Worker::spawn(Arc::clone(&examples), plan, plan.advance(start, first), self.workers);
        Ok(Batches {
            workers: (0..self.workers).map(spawn).collect::<Result<_, _>>()?,
            next: 0,
        })
    }
}

/// Batches in order, from [`Loader`].
///
/// The first error, or panic of a worker, is handed on as an item in the place of its batch, and is the last item.
/// Dropping it stops the workers and waits for them.
#[derive(Debug)]
pub struct Batches {
    /// Empty once the last item has been handed out.
    workers: Vec<Worker>,
    /// The worker that has the next batch.
    next: usize,
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.workers.get_mut(self.next)?.receive();
        match item {
            Some(Ok(_)) => self.next = (self.next + 1) % self.workers.len(),
            _ => self.workers.clear(),
        }
        item
    }
}

impl std::iter::FusedIterator for Batches {}
