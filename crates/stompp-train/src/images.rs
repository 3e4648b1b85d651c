//! The images of a run, loaded and checked.

use crate::{
    TrainError,
    config::{DataConfig, Dataset, RunConfig},
    files,
};
use std::{fs, path::Path, sync::Arc};
use stompp_data::{
    Augmentation, Batches, ImageExamples, ImageSet, Loader, Normalization, Position,
    cifar::{self, Layout, Split},
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
            Dataset::Synthetic10 => synthetic(Kind::Shapes, config).generate()?,
            Dataset::Synthetic100 => synthetic(Kind::TexturedShapes, config).generate()?,
            Dataset::Cifar10 => cifar::read(config.files()?, Layout::Cifar10)?,
            Dataset::Cifar100 => cifar::read(config.files()?, Layout::Cifar100Fine)?,
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

/// Writes the synthetic set that a run with `config` would generate into `folder` (made if missing), full size, in
/// CIFAR's binary layout: `dataset = "cifar10"` (or `"cifar100"`) then reads it back.
///
/// # Errors
/// If the configured data set is not synthetic or has an impossible size, a file of the set exists already, or a file or the
/// folder cannot be written.
pub fn write_synthetic(config: &DataConfig, folder: &Path) -> Result<(), TrainError> {
    config.check()?;
    let kind = match config.dataset {
        Dataset::Synthetic10 => Kind::Shapes,
        Dataset::Synthetic100 => Kind::TexturedShapes,
        Dataset::Cifar10 | Dataset::Cifar100 => return Err(config.not_synthetic().into()),
    };
    fs::create_dir_all(folder).map_err(|source| files::io_error("create", folder, source))?;
    let names = [Split::Train, Split::Test]
        .into_iter()
        .flat_map(|split| kind.layout().files(split));
    if let Some(path) = names.map(|name| folder.join(name)).find(|path| path.exists()) {
        return Err(TrainError::FileExists { path });
    }
    Ok(synthetic(kind, config).write_to(folder)?)
}

fn synthetic(kind: Kind, config: &DataConfig) -> Synthetic {
    Synthetic {
        kind,
        seed: DATA_SEED,
        train: config.train_limit.unwrap_or(SYNTHETIC_TRAIN),
        test: config.test_limit.unwrap_or(SYNTHETIC_TEST),
    }
}
