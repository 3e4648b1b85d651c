//! The images of a run, loaded and checked.

use crate::{
    TrainError,
    config::{DataConfig, Dataset, RunConfig},
};
use std::{path::Path, sync::Arc};
use stompp_data::{
    Augmentation, Batches, ImageExamples, ImageSet, Loader, Normalization, Position,
    cifar::{self, Layout, Splits},
    synthetic::{Kind, Synthetic},
};

/// Images a split of a synthetic set has if nothing limits it: CIFAR's numbers.
const SYNTHETIC_TRAIN: usize = 50_000;
const SYNTHETIC_TEST: usize = 10_000;

/// Which subset, and which synthetic images: the same for every run, so that runs of different seeds compare.
const DATA_SEED: u64 = 0;

/// Images of one evaluation batch.
const EVALUATION_BATCH: usize = 250;

/// Threads that prepare batches: one keeps up with training, and their number changes no bit.
const WORKERS: usize = 1;

/// Training and test images.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) train: Arc<ImageSet>,
    pub(crate) test: Arc<ImageSet>,
}

impl Images {
    /// Loads (or generates) the images, limits and shrinks them.
    pub(crate) fn load(config: &DataConfig) -> Result<Self, TrainError> {
        let splits = match config.dataset {
            Dataset::Synthetic10 => generate(Kind::Shapes, config)?,
            Dataset::Synthetic100 => generate(Kind::TexturedShapes, config)?,
            Dataset::Cifar10 => read(Layout::Cifar10, config)?,
            Dataset::Cifar100 => read(Layout::Cifar100Fine, config)?,
        };
        let prepare = |set: ImageSet, limit: Option<usize>| -> Result<Arc<ImageSet>, TrainError> {
            let set = match limit {
                Some(limit) if limit != set.len() => set.subset(limit, DATA_SEED)?,
                _ => set,
            };
            let set = if set.height() == config.image_size && set.width() == config.image_size {
                set
            } else {
                set.shrink_to(config.image_size)?
            };
            Ok(Arc::new(set))
        };
        Ok(Self {
            train: prepare(splits.train, config.train_limit)?,
            test: prepare(splits.test, config.test_limit)?,
        })
    }

    /// Training batches from the first one on, without end.
    pub(crate) fn training_batches(
        &self,
        config: &RunConfig,
        normalization: &Normalization,
    ) -> Result<Batches, TrainError> {
        let (images, normalization) = (Arc::clone(&self.train), normalization.clone());
        let examples = if config.data.augment {
            let padding = (images.height() / 8) as u16;
            ImageExamples::augmented(images, normalization, Augmentation { padding }, config.seed)
        } else {
            ImageExamples::plain(images, normalization)
        };
        let loader = Loader {
            batch_size: config.training.batch_size,
            workers: WORKERS,
        };
        Ok(loader.train(Arc::new(examples), config.seed, Position::default())?)
    }
}

/// The images of `set` in order, normalized.
pub(crate) fn evaluation_batches(set: &Arc<ImageSet>, normalization: &Normalization) -> Result<Batches, TrainError> {
    let loader = Loader {
        batch_size: EVALUATION_BATCH,
        workers: WORKERS,
    };
    let examples = ImageExamples::plain(Arc::clone(set), normalization.clone());
    Ok(loader.evaluate(Arc::new(examples))?)
}

fn generate(kind: Kind, config: &DataConfig) -> Result<Splits, TrainError> {
    let synthetic = Synthetic {
        kind,
        seed: DATA_SEED,
        train: config.train_limit.unwrap_or(SYNTHETIC_TRAIN),
        test: config.test_limit.unwrap_or(SYNTHETIC_TEST),
    };
    Ok(synthetic.generate()?)
}

fn read(layout: Layout, config: &DataConfig) -> Result<Splits, TrainError> {
    let path: &Path = config.path.as_deref().ok_or(TrainError::NoData {
        dataset: config.dataset,
    })?;
    Ok(cifar::read(path, layout)?)
}
