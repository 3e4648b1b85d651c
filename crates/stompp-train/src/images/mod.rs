//! The images of a run, found, checked and ready to be batched.

mod changes;
mod class_names;
mod split_images;

pub(crate) use changes::changed_files;
pub(crate) use class_names::class_name;
pub(crate) use split_images::SplitImages;

use crate::{
    RunResult, TrainError,
    config::{DataConfig, Dataset},
};
use std::path::{Path, PathBuf};
use stompp_data::{
    ChannelStatistics, DataError, ImageSet, ImageTree, Labelled, ResizeMethod, TreeOptions,
    cifar::{self, CifarLayout, Split, Splits},
    mnist,
    synthetic::{Synthetic, SyntheticKind},
};

/// Images a split of a synthetic set has if nothing limits it: CIFAR's numbers.
const SYNTHETIC_TRAIN: usize = 50_000;
const SYNTHETIC_TEST: usize = 10_000;

/// Which synthetic images: the same for every run, so that runs of different seeds compare.
const SYNTHETIC_SEED: u64 = 0;

/// Training and test images.
#[derive(Clone, Debug)]
pub(crate) struct RunImages {
    pub(crate) train: SplitImages,
    pub(crate) test: SplitImages,
    /// What every image is normalized by: the statistics of the training images in memory as trained on, ImageNet's for image
    /// files, of which nobody wants to read millions first.
    pub(crate) statistics: ChannelStatistics,
    /// Names of the classes, if they are told by the files.
    pub(crate) class_names: Option<Vec<String>>,
    /// The list of image files, to be kept for the next time.
    pub(crate) index: Option<Vec<u8>>,
    /// What there is to know about the images: what of the folders was not looked at, what has changed.
    pub(crate) notes: Vec<String>,
}

/// The images that a network is tested on.
#[derive(Clone, Debug)]
pub(crate) struct TestImages {
    pub(crate) test: SplitImages,
    /// As [`ImageTensor::notes`].
    pub(crate) notes: Vec<String>,
    /// Names of the classes, if they are told by the files.
    pub(crate) class_names: Option<Vec<String>>,
    dataset: Dataset,
}

/// The images that a network is trained on.
#[derive(Clone, Debug)]
pub(crate) struct TrainImages {
    pub(crate) train: SplitImages,
    pub(crate) statistics: ChannelStatistics,
    class_names: Option<Vec<String>>,
    dataset: Dataset,
}

/// Which images are wanted.
#[derive(Clone, Copy)]
struct WantedSplits<'a> {
    train: bool,
    test: bool,
    /// The classes, if they are known.
    classes: Option<&'a [String]>,
    /// Where a list of image files may have been kept.
    index: Option<&'a Path>,
}

/// What was wanted: parts that were not are absent.
struct FoundSplits {
    train: Option<SplitImages>,
    test: Option<SplitImages>,
    statistics: ChannelStatistics,
    class_names: Option<Vec<String>>,
    index: Option<Vec<u8>>,
    notes: Vec<String>,
    changes: Option<stompp_data::TreeChanges>,
}

impl RunImages {
    /// Loads, generates or lists the images, holds out, limits and shrinks them. Test images are not looked for where training images are
    /// held out. `index` is where a list of image files may have been kept when the run began; files may have come and gone since if
    /// `reindex` allows it, or if the run is finished.
    ///
    /// # Errors
    /// If the images cannot be had; [`TrainError::OtherImages`] if files have come or gone.
    pub(crate) fn load(config: &DataConfig, index: Option<&Path>, reindex: bool) -> Result<Self, TrainError> {
        let (train, test, classes) = (true, true, None);
        let mut found = find(
            config,
            WantedSplits {
                train,
                test,
                classes,
                index,
            },
        )?;
        if let (Some(changes), Some(index)) = (&found.changes, index)
            && !index.parent().is_some_and(RunResult::exists)
        {
            found.notes.extend(changes::check_changes(changes, index, reindex)?);
        }
        Ok(Self {
            train: found.train.expect("it was wanted"),
            test: found.test.expect("it was wanted"),
            statistics: found.statistics,
            class_names: found.class_names,
            index: found.index,
            notes: found.notes,
        })
    }

    /// What is wrong with each image that has been left out so far.
    pub(crate) fn bad_images(&self) -> Vec<String> {
        [self.train.bad_images(), self.test.bad_images()].concat()
    }

    /// Names of the files that were read and are not those that were listed.
    pub(crate) fn changed_files(&self) -> Vec<String> {
        let mut changed = [self.train.changed_files(), self.test.changed_files()].concat();
        changed.sort();
        changed.dedup();
        changed
    }
}

impl TestImages {
    /// As [`ImageTensor::load`], but only the images to test on; training images are not looked for, unless the test images are held out of
    /// them. `classes` are those that the network was trained on, if it was on image files. `index` is used while it holds.
    pub(crate) fn load(
        config: &DataConfig,
        classes: Option<&[String]>,
        index: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let (train, test) = (false, true);
        let found = find(
            config,
            WantedSplits {
                train,
                test,
                classes,
                index,
            },
        )?;
        Ok(Self {
            test: found.test.expect("it was wanted"),
            notes: found.notes,
            class_names: found.class_names,
            dataset: config.dataset,
        })
    }

    /// What people call a class.
    pub(crate) fn class_name(&self, label: usize) -> String {
        class_name(self.class_names.as_deref(), self.dataset, label)
    }

    /// What is wrong with each image that has been left out so far.
    pub(crate) fn bad_images(&self) -> Vec<String> {
        self.test.bad_images()
    }
}

impl TrainImages {
    /// As [`ImageTensor::load`], but only the images to train on.
    pub(crate) fn load(config: &DataConfig) -> Result<Self, TrainError> {
        let (train, test, classes, index) = (true, false, None, None);
        let found = find(
            config,
            WantedSplits {
                train,
                test,
                classes,
                index,
            },
        )?;
        Ok(Self {
            train: found.train.expect("it was wanted"),
            statistics: found.statistics,
            class_names: found.class_names,
            dataset: config.dataset,
        })
    }

    /// What people call a class.
    pub(crate) fn class_name(&self, label: usize) -> String {
        class_name(self.class_names.as_deref(), self.dataset, label)
    }
}

/// How an image of `dataset` becomes a network's input.
pub(crate) fn resize_method(dataset: Dataset) -> ResizeMethod {
    match dataset {
        Dataset::Folder => ResizeMethod::CentreCrop,
        Dataset::Mnist | Dataset::FashionMnist => ResizeMethod::Border,
        Dataset::Synthetic10
        | Dataset::Synthetic100
        | Dataset::Cifar10
        | Dataset::Cifar100
        | Dataset::Cifar100Coarse => ResizeMethod::BoxMean,
    }
}

fn find(config: &DataConfig, wanted: WantedSplits<'_>) -> Result<FoundSplits, TrainError> {
    // Images that are held out are training images; others are not tested on then.
    let held_out = config.holdout.is_some();
    let part = match (wanted.train || held_out, wanted.test && !held_out) {
        (true, true) => None,
        (true, false) => Some(Split::Train),
        (false, _) => Some(Split::Test),
    };
    let (train, test) = match image_location(config)? {
        ImageLocation::Files { path, labels } => return list(config, &path, labels.as_deref(), part, wanted),
        ImageLocation::Cifar(layout) => match part {
            None => both(cifar::read(config.files()?, layout)?),
            Some(split) => only(split, cifar::read_split(config.files()?, layout, split)?),
        },
        ImageLocation::Mnist => {
            let read =
                |split| mnist::read_split(config.files()?, config.dataset.name(), split).map_err(TrainError::from);
            match part {
                None => (Some(read(Split::Train)?), Some(read(Split::Test)?)),
                Some(split) => only(split, read(split)?),
            }
        }
        ImageLocation::Synthetic(kind) => both(synthetic(kind, config).generate()?),
    };
    let (train, test) = select_splits(train, test, config)?;
    let shrunk = |set: Option<ImageSet>| set.map(|set| shrink(set, config)).transpose();
    let (train, test) = (shrunk(train)?, shrunk(test)?);
    Ok(FoundSplits {
        statistics: train
            .as_ref()
            .or(test.as_ref())
            .expect("a part was read")
            .channel_statistics(),
        train: train.map(SplitImages::from_memory),
        test: test.map(SplitImages::from_memory),
        class_names: None,
        index: None,
        notes: Vec::new(),
        changes: None,
    })
}

fn both(sets: Splits) -> (Option<ImageSet>, Option<ImageSet>) {
    (Some(sets.train), Some(sets.test))
}

fn only<S>(split: Split, set: S) -> (Option<S>, Option<S>) {
    match split {
        Split::Train => (Some(set), None),
        Split::Test => (None, Some(set)),
    }
}

fn list(
    config: &DataConfig,
    path: &Path,
    labels: Option<&Path>,
    part: Option<Split>,
    wanted: WantedSplits<'_>,
) -> Result<FoundSplits, TrainError> {
    let options = TreeOptions {
        labels,
        part,
        classes: wanted.classes,
        on_fault: config.on_bad_image,
        index: wanted.index,
    };
    let mut tree = ImageTree::open_with(path, &options)?;
    let changes = wanted.index.and_then(|index| tree.changes(index));
    let (class_names, index) = (tree.class_names().to_vec(), tree.index(labels));
    let notes = tree_notes(&tree);
    let (train, test) = match part {
        None => (
            Some(tree.take_split(Split::Train)?),
            Some(tree.take_split(Split::Test)?),
        ),
        Some(split) => only(split, tree.take_split(split)?),
    };
    let (train, test) = select_splits(train, test, config)?;
    let part = |set| SplitImages::from_files(set, config);
    Ok(FoundSplits {
        train: train.map(part),
        test: test.map(part),
        statistics: ChannelStatistics::IMAGENET,
        class_names: Some(class_names),
        index: Some(index),
        notes,
        changes,
    })
}

/// What is wrong with a tree, and what of it was not looked at.
pub(crate) fn tree_notes(tree: &ImageTree) -> Vec<String> {
    let ignored = tree.parts().flat_map(|(_, set)| set.ignored());
    tree.problems().iter().chain(ignored).cloned().collect()
}

/// Where images come from.
pub(crate) enum ImageLocation {
    Synthetic(SyntheticKind),
    Cifar(CifarLayout),
    /// MNIST, or another set in its layout.
    Mnist,
    /// Files by class, and the list of labels of a flat `val`; both paths are absolute.
    Files {
        path: PathBuf,
        labels: Option<PathBuf>,
    },
}

pub(crate) fn image_location(config: &DataConfig) -> Result<ImageLocation, TrainError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok(match config.dataset {
        Dataset::Synthetic10 => ImageLocation::Synthetic(SyntheticKind::Shapes),
        Dataset::Synthetic100 => ImageLocation::Synthetic(SyntheticKind::TexturedShapes),
        Dataset::Cifar10 => ImageLocation::Cifar(CifarLayout::Cifar10),
        Dataset::Cifar100 => ImageLocation::Cifar(CifarLayout::Cifar100Fine),
        Dataset::Cifar100Coarse => ImageLocation::Cifar(CifarLayout::Cifar100Coarse),
        Dataset::Mnist | Dataset::FashionMnist => ImageLocation::Mnist,
        Dataset::Folder => ImageLocation::Files {
            path: absolute(config.files()?),
            labels: config.labels.as_deref().map(absolute),
        },
    })
}

pub(crate) fn synthetic(kind: SyntheticKind, config: &DataConfig) -> Synthetic {
    let train = config.train_limit.unwrap_or(SYNTHETIC_TRAIN);
    Synthetic {
        kind,
        seed: SYNTHETIC_SEED,
        train: train.saturating_add(config.holdout.unwrap_or(0)),
        test: config.test_limit.unwrap_or(SYNTHETIC_TEST),
    }
}

/// The images to train and to test on, by the rules of the configuration.
fn select_splits<S: Labelled>(
    train: Option<S>,
    test: Option<S>,
    config: &DataConfig,
) -> Result<(Option<S>, Option<S>), TrainError> {
    let (test, train) = match (config.holdout, train) {
        (Some(count), Some(train)) => {
            let (held, others) = train.hold_out(count, config.split_seed)?;
            (Some(held), Some(others))
        }
        (_, train) => (test, train),
    };
    let limited = |set: Option<S>, limit: Option<usize>| match (set, limit) {
        (Some(set), Some(limit)) if limit != set.labels().len() => set.subset(limit, config.split_seed).map(Some),
        (set, _) => Ok::<_, DataError>(set),
    };
    Ok((limited(train, config.train_limit)?, limited(test, config.test_limit)?))
}

fn shrink(set: ImageSet, config: &DataConfig) -> Result<ImageSet, TrainError> {
    if set.height() == config.image_size && set.width() == config.image_size {
        return Ok(set);
    }
    Ok(set.shrink_to(config.image_size)?)
}
