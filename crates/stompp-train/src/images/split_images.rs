//! One split of a data set, in memory or in files, and its batches.

use crate::{
    TrainError,
    config::{DataConfig, RunConfig},
};
use std::{ops::Range, sync::Arc};
use stompp_data::{
    Augmentation, BadImages, Batch, Batches, CropAugmentation, CropBatches, Examples, FileExamples, ImageExamples,
    ImageFileSet, ImageSet, Loader, Normalization, Position,
};

/// Images to train or to test on.
#[derive(Clone, Debug)]
pub(crate) struct SplitImages(SplitStorage);

#[derive(Clone, Debug)]
enum SplitStorage {
    Memory(Arc<ImageSet>),
    Files {
        set: Arc<ImageFileSet>,
        side: u32,
        bad: BadImages,
    },
}

impl SplitImages {
    pub(crate) fn from_memory(set: ImageSet) -> Self {
        Self(SplitStorage::Memory(Arc::new(set)))
    }

    pub(crate) fn from_files(set: ImageFileSet, config: &DataConfig) -> Self {
        Self(SplitStorage::Files {
            side: config.image_size as u32,
            bad: BadImages::new(config.on_bad_image, &set),
            set: Arc::new(set),
        })
    }

    /// The images, if they are in memory.
    pub(crate) fn memory_set(&self) -> Option<&Arc<ImageSet>> {
        match &self.0 {
            SplitStorage::Memory(set) => Some(set),
            SplitStorage::Files { .. } => None,
        }
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            SplitStorage::Memory(set) => set.len(),
            SplitStorage::Files { set, .. } => set.len(),
        }
    }

    /// The problem of each image that has been left out so far.
    pub(crate) fn bad_images(&self) -> Vec<String> {
        match &self.0 {
            SplitStorage::Memory(_) => Vec::new(),
            SplitStorage::Files { bad, .. } => bad.list(),
        }
    }

    /// The name of image `index`, or its index if it is not a file.
    pub(crate) fn image_name(&self, index: usize) -> String {
        match &self.0 {
            SplitStorage::Memory(_) => index.to_string(),
            SplitStorage::Files { set, .. } => set.image_name(index),
        }
    }

    /// Names of the files that have changed since they were listed.
    pub(crate) fn changed_files(&self) -> Vec<String> {
        match &self.0 {
            SplitStorage::Memory(_) => Vec::new(),
            SplitStorage::Files { set, .. } => set.changed_files(),
        }
    }

    /// Number of threads that prepare batches; it does not change any result. One thread is fast enough for images in memory; files
    /// have to be decoded.
    fn workers(&self) -> usize {
        match &self.0 {
            SplitStorage::Memory(_) => 1,
            SplitStorage::Files { .. } => rayon::current_num_threads(),
        }
    }

    /// The images as examples for training, augmented if the configuration says so.
    pub(crate) fn training_examples(&self, config: &RunConfig, normalization: &Normalization) -> Arc<dyn Examples> {
        if !config.data.augment {
            return self.evaluation_examples(normalization);
        }
        let normalization = normalization.clone();
        match &self.0 {
            SplitStorage::Memory(set) => {
                let set = Arc::clone(set);
                let augmentation = augmentation(&set);
                Arc::new(ImageExamples::with_augmentation(
                    set,
                    normalization,
                    augmentation,
                    config.seed,
                ))
            }
            SplitStorage::Files { set, side, bad } => {
                let augmentation = CropAugmentation {
                    jitter: config.data.color_jitter,
                };
                let (set, bad) = (Arc::clone(set), bad.clone());
                Arc::new(FileExamples::with_augmentation(
                    set,
                    *side,
                    normalization,
                    augmentation,
                    config.seed,
                    bad,
                ))
            }
        }
    }

    /// The images as examples for evaluation, not augmented.
    pub(crate) fn evaluation_examples(&self, normalization: &Normalization) -> Arc<dyn Examples> {
        let normalization = normalization.clone();
        match &self.0 {
            SplitStorage::Memory(set) => Arc::new(ImageExamples::new(Arc::clone(set), normalization)),
            SplitStorage::Files { set, side, bad } => {
                Arc::new(FileExamples::new(Arc::clone(set), *side, normalization, bad.clone()))
            }
        }
    }

    /// An endless stream of training batches from `start` on, with the images `part` of each batch.
    pub(crate) fn training_batches(
        &self,
        config: &RunConfig,
        normalization: &Normalization,
        start: Position,
        part: Option<Range<usize>>,
    ) -> Result<Batches, TrainError> {
        let loader = Loader {
            batch_size: config.training.batch_size,
            workers: self.workers(),
        };
        let examples = self.training_examples(config, normalization);
        let part = part.unwrap_or(0..config.training.batch_size);
        Ok(loader.train_part(examples, config.seed, start, part)?)
    }

    /// As [`SplitImages::training_batches`], for images in memory, but with indices and crop positions instead of pixels.
    pub(crate) fn training_crops(
        &self,
        config: &RunConfig,
        start: Position,
        part: Option<Range<usize>>,
    ) -> Result<CropBatches, TrainError> {
        let set = self.memory_set().expect("only images in memory are held by a device");
        let augmentation = config.data.augment.then(|| augmentation(set));
        let batch_size = config.training.batch_size;
        Ok(CropBatches::train(
            Arc::clone(set),
            batch_size,
            augmentation,
            config.seed,
            start,
            part,
        )?)
    }

    /// As [`SplitImages::evaluation_batches`], for images in memory, but with indices instead of pixels.
    pub(crate) fn evaluation_crops(
        &self,
        batch_size: usize,
        part: Option<Range<usize>>,
    ) -> Result<CropBatches, TrainError> {
        let set = self.memory_set().expect("only images in memory are held by a device");
        Ok(CropBatches::evaluate(Arc::clone(set), batch_size, part)?)
    }

    /// The images of `part` in order, `batch_size` at a time.
    pub(crate) fn evaluation_batches(
        &self,
        normalization: &Normalization,
        batch_size: usize,
        part: Option<Range<usize>>,
    ) -> Result<Batches, TrainError> {
        let part = part.unwrap_or(0..self.len());
        self.in_order(normalization, batch_size, self.workers(), part)
    }

    /// The first `count` images in one batch, without images that cannot be read; `None` if none is left.
    pub(crate) fn first_batch(&self, normalization: &Normalization, count: usize) -> Result<Option<Batch>, TrainError> {
        let first = self
            .in_order(normalization, count, 1, 0..self.len())?
            .next()
            .transpose()?;
        Ok(first.filter(|batch| !batch.labels.is_empty()))
    }

    fn in_order(
        &self,
        normalization: &Normalization,
        batch_size: usize,
        workers: usize,
        part: Range<usize>,
    ) -> Result<Batches, TrainError> {
        let loader = Loader { batch_size, workers };
        Ok(loader.evaluate_part(self.evaluation_examples(normalization), part)?)
    }
}

/// The augmentation of images in memory.
fn augmentation(set: &ImageSet) -> Augmentation {
    Augmentation {
        padding: (set.height() / 8) as u16,
    }
}
