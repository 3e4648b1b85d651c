//! The images of a run, found, checked and ready to be batched.

mod part;

pub(crate) use part::{Part, rule};

use crate::{
    TrainError,
    config::{DataConfig, Dataset},
};
use std::path::{Path, PathBuf};
use stompp_data::{
    ChannelStatistics, ImageSet, ImageTree, Labelled,
    cifar::{self, Layout, Splits},
    synthetic::{Kind, Synthetic},
};
use xxhash_rust::xxh3::Xxh3;

/// Images a split of a synthetic set has if nothing limits it: CIFAR's numbers.
const SYNTHETIC_TRAIN: usize = 50_000;
const SYNTHETIC_TEST: usize = 10_000;

/// Which synthetic images: the same for every run, so that runs of different seeds compare.
const SYNTHETIC_SEED: u64 = 0;

/// The classes of CIFAR-10, in the order of its labels.
const CIFAR10: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Training and test images.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) train: Part,
    pub(crate) test: Part,
    /// What every image is normalized by: the statistics of the training images in memory as trained on, ImageNet's for image
    /// files, of which nobody wants to read millions first.
    pub(crate) statistics: ChannelStatistics,
    /// Names of the classes, if they are told by the files.
    pub(crate) class_names: Option<Vec<String>>,
    /// Names of the classes that the data set is known for.
    known_names: &'static [&'static str],
    /// The list of image files, to be kept for the next time.
    pub(crate) index: Option<Vec<u8>>,
    /// XXH3-128 of the names and classes of the image files, in hexadecimal.
    pub(crate) list: Option<String>,
}

impl Images {
    /// Loads, generates or lists the images, holds out, limits and shrinks them. `index` is where a list of image files may
    /// have been kept.
    pub(crate) fn load(config: &DataConfig, index: Option<&Path>) -> Result<Self, TrainError> {
        let Splits { train, test } = match source(config)? {
            Source::Files { path, labels } => return Self::list(config, &path, labels.as_deref(), index),
            Source::Cifar(layout) => cifar::read(config.files()?, layout)?,
            Source::Synthetic(kind) => synthetic(kind, config).generate()?,
        };
        let (train, test) = chosen(train, test, config)?;
        let (train, test) = (shrunk(train, config)?, shrunk(test, config)?);
        Ok(Self {
            statistics: train.channel_statistics(),
            train: Part::of_memory(train),
            test: Part::of_memory(test),
            class_names: None,
            known_names: match config.dataset {
                Dataset::Cifar10 => &CIFAR10,
                _ => &[],
            },
            index: None,
            list: None,
        })
    }

    fn list(config: &DataConfig, path: &Path, labels: Option<&Path>, index: Option<&Path>) -> Result<Self, TrainError> {
        let tree = match index {
            Some(index) => ImageTree::open_indexed(path, labels, index)?,
            None => ImageTree::open(path, labels)?,
        };
        let (class_names, index) = (tree.class_names().to_vec(), tree.index(path, labels));
        let (train, test) = chosen(tree.train, tree.val, config)?;
        let part = |set| Part::of_files(set, config);
        let (train, test) = (part(train), part(test));
        let mut names = Xxh3::new();
        train.hash_names(&mut names);
        test.hash_names(&mut names);
        Ok(Self {
            train,
            test,
            statistics: ChannelStatistics::IMAGENET,
            class_names: Some(class_names),
            known_names: &[],
            index: Some(index),
            list: Some(format!("{:032x}", names.digest128())),
        })
    }

    /// What people call a class.
    pub(crate) fn class_name(&self, label: usize) -> String {
        let own = self
            .class_names
            .as_ref()
            .and_then(|names| names.get(label))
            .map(String::as_str);
        let name = own.or_else(|| self.known_names.get(label).copied());
        name.map_or_else(|| format!("class {label}"), str::to_owned)
    }

    /// What is wrong with each image that has been left out so far.
    pub(crate) fn bad_images(&self) -> Vec<String> {
        [self.train.bad_images(), self.test.bad_images()].concat()
    }
}

/// Where images come from.
pub(crate) enum Source {
    Synthetic(Kind),
    Cifar(Layout),
    /// Files by class, and the list of labels of a flat `val`; both paths are absolute.
    Files {
        path: PathBuf,
        labels: Option<PathBuf>,
    },
}

pub(crate) fn source(config: &DataConfig) -> Result<Source, TrainError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok(match config.dataset {
        Dataset::Synthetic10 => Source::Synthetic(Kind::Shapes),
        Dataset::Synthetic100 => Source::Synthetic(Kind::TexturedShapes),
        Dataset::Cifar10 => Source::Cifar(Layout::Cifar10),
        Dataset::Cifar100 => Source::Cifar(Layout::Cifar100Fine),
        Dataset::Cifar100Coarse => Source::Cifar(Layout::Cifar100Coarse),
        Dataset::Folder => Source::Files {
            path: absolute(config.files()?),
            labels: config.labels.as_deref().map(absolute),
        },
    })
}

pub(crate) fn synthetic(kind: Kind, config: &DataConfig) -> Synthetic {
    let train = config.train_limit.unwrap_or(SYNTHETIC_TRAIN);
    Synthetic {
        kind,
        seed: SYNTHETIC_SEED,
        train: train.saturating_add(config.holdout.unwrap_or(0)),
        test: config.test_limit.unwrap_or(SYNTHETIC_TEST),
    }
}

/// The images to train and to test on, by the rules of the configuration.
fn chosen<S: Labelled>(train: S, test: S, config: &DataConfig) -> Result<(S, S), TrainError> {
    let (test, train) = match config.holdout {
        Some(count) => train.hold_out(count, config.split_seed)?,
        None => (test, train),
    };
    let limited = |set: S, limit: Option<usize>| match limit {
        Some(limit) if limit != set.labels().len() => set.subset(limit, config.split_seed),
        _ => Ok(set),
    };
    Ok((limited(train, config.train_limit)?, limited(test, config.test_limit)?))
}

fn shrunk(set: ImageSet, config: &DataConfig) -> Result<ImageSet, TrainError> {
    if set.height() == config.image_size && set.width() == config.image_size {
        return Ok(set);
    }
    Ok(set.shrink_to(config.image_size)?)
}
