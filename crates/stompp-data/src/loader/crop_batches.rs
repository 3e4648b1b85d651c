//! Batches for a device that already holds the images of a set, such as a GPU: the place of each crop instead of its pixels.

use super::{Position, plan::BatchPlan, plan::LoadMode};
use crate::{Augmentation, CropParams, DataError, ImageSet};
use std::{ops::Range, sync::Arc};

/// A batch of images, given by their indices in the set.
#[derive(Clone, Debug, PartialEq)]
pub struct CropBatch {
    /// Which batch this is.
    pub position: Position,
    /// The index of each image, and its crop.
    pub crops: Vec<(usize, CropParams)>,
    /// The class of each image.
    pub labels: Vec<usize>,
}

/// An iterator over batches in order. At each position it has the same images and crops as [`Loader`](crate::Loader).
#[derive(Clone, Debug)]
pub struct CropBatches {
    set: Arc<ImageSet>,
    augmentation: Option<(Augmentation, u64)>,
    plan: BatchPlan,
    next: Option<Position>,
    order: (u64, Vec<usize>),
}

impl CropBatches {
    /// Creates endless batches for training from `start` on, equal to those of [`Loader::train`](crate::Loader::train) with
    /// [`ImageExamples`](crate::ImageExamples). With `part`, only these images of each batch, as in
    /// [`Loader::train_part`](crate::Loader::train_part).
    ///
    /// # Errors
    /// Returns [`DataError::BatchSize`] if the batch size is zero or larger than the set.
    ///
    /// # Panics
    /// Panics if `part` is empty or ends behind the batch.
    pub fn train(
        set: Arc<ImageSet>,
        batch_size: usize,
        augmentation: Option<Augmentation>,
        seed: u64,
        start: Position,
        part: Option<Range<usize>>,
    ) -> Result<Self, DataError> {
        let augmentation = augmentation.map(|augmentation| (augmentation, seed));
        Self::start(set, batch_size, augmentation, LoadMode::Training { seed }, start, part)
    }

    /// Creates batches of all images once, or of those of `part`, in order and not cropped. The last batch may be smaller.
    ///
    /// # Errors
    /// Returns [`DataError::BatchSize`] if the batch size is zero.
    ///
    /// # Panics
    /// Panics if `part` ends behind the set.
    pub fn evaluate(set: Arc<ImageSet>, batch_size: usize, part: Option<Range<usize>>) -> Result<Self, DataError> {
        Self::start(set, batch_size, None, LoadMode::Evaluation, Position::default(), part)
    }

    fn start(
        set: Arc<ImageSet>,
        batch_size: usize,
        augmentation: Option<(Augmentation, u64)>,
        pass: LoadMode,
        start: Position,
        part: Option<Range<usize>>,
    ) -> Result<Self, DataError> {
        let records = set.len();
        let too_large = matches!(pass, LoadMode::Training { .. }) && batch_size > records;
        if batch_size == 0 || too_large {
            return Err(DataError::BatchSize { batch_size, records });
        }
        let plan = BatchPlan {
            records,
            batch_size,
            pass,
            part,
        };
        plan.check_part();
        let next = plan.advance(start, 0);
        let epoch = next.map_or(0, |position| position.epoch);
        Ok(Self {
            set,
            augmentation,
            order: (epoch, plan.order(epoch)),
            plan,
            next,
        })
    }
}

impl Iterator for CropBatches {
    type Item = CropBatch;

    fn next(&mut self) -> Option<CropBatch> {
        let position = self.next?;
        if self.order.0 != position.epoch {
            self.order = (position.epoch, self.plan.order(position.epoch));
        }
        let indices = &self.order.1[self.plan.range(position.batch)];
        let place = |&index: &usize| match self.augmentation {
            None => (index, CropParams::IDENTITY),
            Some((augmentation, seed)) => (index, augmentation.crop_params(seed, position.epoch, index)),
        };
        let batch = CropBatch {
            position,
            crops: indices.iter().map(place).collect(),
            labels: indices.iter().map(|&index| self.set.label(index)).collect(),
        };
        self.next = self.plan.advance(position, 1);
        Some(batch)
    }
}
