//! Batches prepared in advance on other threads. **Their bits do not depend on the number of threads.**
//!
//! Worker `w` of `n` sends the batches `w`, `w + n`, `w + 2n`, ... to its own channel, and the consumer receives
//! one from each channel in turn. So batches arrive in order without sorting, and the other workers continue during a slow
//! batch. The [`Position`] is the whole state of a loader: it can start at any batch of any epoch.

mod crop_batches;
mod plan;
mod worker;

pub use crop_batches::{CropBatch, CropBatches};
pub use plan::Position;

use crate::{DataError, Examples};
use plan::{BatchPlan, LoadMode};
use std::ops::Range;
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

/// Loads batches of examples on other threads.
///
/// At most `workers * 3` batches are in memory besides those that the consumer holds: per worker two in its channel
/// and one in preparation. A batch has `batch_size * 3 * height * width * 4` bytes. With [`FileExamples`](crate::FileExamples),
/// each worker also holds one file and its decoded image (twice, if the image has an EXIF orientation).
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
    /// Number of batches in an epoch of training. Only full batches count.
    pub fn batches_per_epoch(&self, records: usize) -> usize {
        records.checked_div(self.batch_size).unwrap_or(0)
    }

    /// Starts loading batches for training, from `start` on and without end. `seed` determines the order of each epoch
    /// ([`epoch_order`](crate::epoch_order)). An epoch leaves out the last records if they do not fill a batch. A
    /// `start` beyond the end of its epoch continues in the following epochs.
    ///
    /// # Errors
    /// Returns [`DataError::BatchSize`] if the batch size is zero or larger than the set, [`DataError::NoWorkers`] if
    /// `workers` is zero, and [`DataError::Spawn`] if a thread cannot be started.
    pub fn train<E: Examples + ?Sized + 'static>(
        &self,
        examples: Arc<E>,
        seed: u64,
        start: Position,
    ) -> Result<Batches, DataError> {
        let part = 0..self.batch_size;
        self.train_part(examples, seed, start, part)
    }

    /// As [`train`](Self::train), but prepares only the images `part` of each batch, because other processes prepare the others. Together
    /// they have the images of [`train`](Self::train), in the same order.
    ///
    /// # Errors
    /// Same as [`train`](Self::train).
    ///
    /// # Panics
    /// Panics if `part` is empty or ends behind the batch.
    pub fn train_part<E: Examples + ?Sized + 'static>(
        &self,
        examples: Arc<E>,
        seed: u64,
        start: Position,
        part: Range<usize>,
    ) -> Result<Batches, DataError> {
        let records = examples.len();
        if self.batch_size > records {
            return Err(DataError::BatchSize {
                batch_size: self.batch_size,
                records,
            });
        }
        self.start(examples, LoadMode::Training { seed }, start, Some(part))
    }

    /// Starts loading all records once, in order, as epoch 0. The last batch may be smaller.
    ///
    /// # Errors
    /// Same as [`train`](Self::train), except that the batch size may be larger than the set.
    pub fn evaluate<E: Examples + ?Sized + 'static>(&self, examples: Arc<E>) -> Result<Batches, DataError> {
        self.start(examples, LoadMode::Evaluation, Position::default(), None)
    }

    /// As [`evaluate`](Self::evaluate), but loads only the records `part`, because other processes load the others.
    ///
    /// # Errors
    /// Same as [`evaluate`](Self::evaluate).
    ///
    /// # Panics
    /// Panics if `part` ends behind the set.
    pub fn evaluate_part<E: Examples + ?Sized + 'static>(
        &self,
        examples: Arc<E>,
        part: Range<usize>,
    ) -> Result<Batches, DataError> {
        self.start(examples, LoadMode::Evaluation, Position::default(), Some(part))
    }

    fn start<E: Examples + ?Sized + 'static>(
        &self,
        examples: Arc<E>,
        pass: LoadMode,
        start: Position,
        part: Option<Range<usize>>,
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
            part,
        };
        plan.check_part();
        let spawn = |first| {
            Worker::spawn(
                Arc::clone(&examples),
                plan.clone(),
                plan.advance(start, first),
                self.workers,
            )
        };
        Ok(Batches {
            workers: (0..self.workers).map(spawn).collect::<Result<_, _>>()?,
            next: 0,
        })
    }
}

/// An iterator over batches in order, created by [`Loader`].
///
/// The first error, or panic of a worker, is returned in place of its batch, and ends the iteration.
/// Dropping the iterator stops the workers and waits for them.
#[derive(Debug)]
pub struct Batches {
    /// Empty after the last item.
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
