//! The records of each batch: a pure function of its position.

use super::Batch;
use crate::DataError;
use crate::order::epoch_order;
use std::ops::Range;

/// The position of a batch in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batch within the epoch, from 0.
    pub batch: usize,
}

/// The sequence of batches to prepare.
#[derive(Clone, Debug)]
pub(super) struct BatchPlan {
    pub(super) records: usize,
    pub(super) batch_size: usize,
    pub(super) pass: LoadMode,
    /// The images to prepare: of each batch in training, of the whole set in evaluation. All images if absent.
    pub(super) part: Option<Range<usize>>,
}

/// The mode of iteration over the records.
#[derive(Clone, Copy, Debug)]
pub(super) enum LoadMode {
    /// Endless epochs, each in its own order, with full batches only.
    Training { seed: u64 },
    /// One pass in order; the last batch may be smaller.
    Evaluation,
}

impl BatchPlan {
    fn batches_per_epoch(&self) -> usize {
        match self.pass {
            LoadMode::Training { .. } => self.records / self.batch_size,
            LoadMode::Evaluation => self.evaluated().len().div_ceil(self.batch_size),
        }
    }

    /// Checks that there are such images.
    ///
    /// # Panics
    /// Panics if a part of each batch is empty or ends behind the batch, or a part of an evaluation ends behind the set.
    pub(super) fn check_part(&self) {
        let Some(part) = &self.part else { return };
        match self.pass {
            LoadMode::Training { .. } => assert!(
                part.start < part.end && part.end <= self.batch_size,
                "{part:?} is no part of a batch of {}",
                self.batch_size
            ),
            LoadMode::Evaluation => assert!(
                part.end <= self.records,
                "{part:?} is no part of {} records",
                self.records
            ),
        }
    }

    /// The order of the records in an epoch.
    pub(super) fn order(&self, epoch: u64) -> Vec<usize> {
        match self.pass {
            LoadMode::Training { seed } => epoch_order(self.records, seed, epoch),
            LoadMode::Evaluation => self.evaluated().collect(),
        }
    }

    /// The records of an evaluation.
    fn evaluated(&self) -> Range<usize> {
        self.part.clone().unwrap_or(0..self.records)
    }

    /// The range of batch number `batch` in the epoch's order.
    pub(super) fn range(&self, batch: usize) -> Range<usize> {
        let start = batch * self.batch_size;
        match self.pass {
            LoadMode::Training { .. } => {
                let part = self.part.clone().unwrap_or(0..self.batch_size);
                start + part.start..start + part.end
            }
            LoadMode::Evaluation => start..(start + self.batch_size).min(self.evaluated().len()),
        }
    }

    /// Returns an error for a training batch in which every image was left out.
    pub(super) fn accept(&self, batch: Batch) -> Result<Batch, DataError> {
        match self.pass {
            LoadMode::Training { .. } if batch.labels.is_empty() => Err(DataError::EmptyBatch(batch.position)),
            _ => Ok(batch),
        }
    }

    /// The position `by` batches after `position`, or `None` beyond the end.
    pub(super) fn advance(&self, position: Position, by: usize) -> Option<Position> {
        let per_epoch = self.batches_per_epoch();
        let batch = position.batch + by;
        match self.pass {
            LoadMode::Evaluation => (batch < per_epoch).then_some(Position { batch, ..position }),
            LoadMode::Training { .. } => Some(Position {
                epoch: position.epoch + (batch / per_epoch) as u64,
                batch: batch % per_epoch,
            }),
        }
    }
}
