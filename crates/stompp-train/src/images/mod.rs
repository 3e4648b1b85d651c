//! Loads the images of a run and makes them ready for batching.

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
    ChannelStatistics, DataError, ImageSet, ImageTree, Labelled, ResizeMethod, SavedList, TreeOptions,
    cifar::{self, CifarLayout, Split, Splits},
    mnist,
    synthetic::{Synthetic, SyntheticKind},
};

/// Number of images in each split of a synthetic set without limits: the same as in CIFAR.
const SYNTHETIC_TRAIN: usize = 50_000;
const SYNTHETIC_TEST: usize = 10_000;

/// Seed of the synthetic images: the same for every run, so that runs with different seeds can be compared.
const SYNTHETIC_SEED: u64 = 0;

/// Training and test images.
#[derive(Clone, Debug)]
pub(crate) struct RunImages {
    pub(crate) train: SplitImages,
    pub(crate) test: SplitImages,
    /// Statistics for normalization. For images in memory, those of the (limited and shrunk) training images. For image files,
    /// those of ImageNet, because computing them would require reading every file first.
    pub(crate) statistics: ChannelStatistics,
    /// Names of the classes, if the files have them.
    pub(crate) class_names: Option<Vec<String>>,
    /// The list of image files, to be saved for later runs.
    pub(crate) index: Option<Vec<u8>>,
    /// Notes about the images: skipped files, problems and changes.
    pub(crate) notes: Vec<String>,
}

/// The images that a network is tested on.
#[derive(Clone, Debug)]
pub(crate) struct TestImages {
    pub(crate) test: SplitImages,
    /// As [`RunImages::notes`].
    pub(crate) notes: Vec<String>,
    /// Names of the classes, if the files have them.
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

/// The splits to load.
#[derive(Clone, Copy)]
struct WantedSplits<'a> {
    train: bool,
    test: bool,
    /// The classes, if they are known.
    classes: Option<&'a [String]>,
    /// A saved list of image files.
    list: Option<ImageList<'a>>,
}

/// A list of image files that was made before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ImageList<'a> {
    /// The file in which the run may have saved its list. Files may have been added or removed since then if `reindex` is set or the
    /// run is finished.
    OfRun { file: &'a Path, reindex: bool },
    /// The list of process 0, of which this process, `rank`, must have all images and no others.
    OfFirstProcess { bytes: &'a [u8], rank: usize },
}

impl ImageList<'_> {
    fn saved(&self) -> SavedList<'_> {
        match self {
            Self::OfRun { file, .. } => SavedList::File(file),
            Self::OfFirstProcess { bytes, .. } => SavedList::Bytes(bytes),
        }
    }
}

/// The loaded splits; a split that was not wanted is absent.
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
    /// Loads, generates or lists the images; then holds out, limits and shrinks them. Does not look for test images if training images are
    /// held out. `list` is used as long as it is valid.
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] or [`TrainError::Config`] if the images cannot be loaded, [`TrainError::OtherImages`] if files were
    /// added or removed and this is not allowed, and [`TrainError::OtherProcess`] if they are not those of process 0.
    pub(crate) fn load(config: &DataConfig, list: Option<ImageList<'_>>) -> Result<Self, TrainError> {
        let (train, test, classes) = (true, true, None);
        let mut found = find(
            config,
            WantedSplits {
                train,
                test,
                classes,
                list,
            },
        )?;
        if let (Some(changes), Some(list)) = (&found.changes, list) {
            match list {
                ImageList::OfRun { file, .. } if file.parent().is_some_and(RunResult::exists) => {}
                ImageList::OfRun { file, reindex } => {
                    found.notes.extend(changes::check_changes(changes, file, reindex)?);
                }
                ImageList::OfFirstProcess { rank, .. } => changes::check_process(changes, rank)?,
            }
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

    /// The problem of each image that has been left out so far.
    pub(crate) fn bad_images(&self) -> Vec<String> {
        [self.train.bad_images(), self.test.bad_images()].concat()
    }

    /// Names of the files that have changed since they were listed.
    pub(crate) fn changed_files(&self) -> Vec<String> {
        let mut changed = [self.train.changed_files(), self.test.changed_files()].concat();
        changed.sort();
        changed.dedup();
        changed
    }
}

impl TestImages {
    /// As [`RunImages::load`], but loads only the test images. Does not look for training images unless the test images are held out of
    /// them. `classes` are the classes that the network was trained on, for image files. `index` is used as long as it is valid.
    pub(crate) fn load(
        config: &DataConfig,
        classes: Option<&[String]>,
        index: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let (train, test) = (false, true);
        let list = index.map(|file| ImageList::OfRun { file, reindex: true });
        let found = find(
            config,
            WantedSplits {
                train,
                test,
                classes,
                list,
            },
        )?;
        Ok(Self {
            test: found.test.expect("it was wanted"),
            notes: found.notes,
            class_names: found.class_names,
            dataset: config.dataset,
        })
    }

    /// The name of a class.
    pub(crate) fn class_name(&self, label: usize) -> String {
        class_name(self.class_names.as_deref(), self.dataset, label)
    }

    /// The problem of each image that has been left out so far.
    pub(crate) fn bad_images(&self) -> Vec<String> {
        self.test.bad_images()
    }
}

impl TrainImages {
    /// As [`RunImages::load`], but loads only the training images.
    pub(crate) fn load(config: &DataConfig) -> Result<Self, TrainError> {
        let (train, test, classes, list) = (true, false, None, None);
        let found = find(
            config,
            WantedSplits {
                train,
                test,
                classes,
                list,
            },
        )?;
        Ok(Self {
            train: found.train.expect("it was wanted"),
            statistics: found.statistics,
            class_names: found.class_names,
            dataset: config.dataset,
        })
    }

    /// The name of a class.
    pub(crate) fn class_name(&self, label: usize) -> String {
        class_name(self.class_names.as_deref(), self.dataset, label)
    }
}

/// How an image of `dataset` is resized to the network's input.
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
    // Held-out images are training images; they replace the test images.
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
        index: wanted.list.as_ref().map(ImageList::saved),
    };
    let mut tree = ImageTree::open_with(path, &options)?;
    // A tree that was made from the list has its images.
    let list = options.index.filter(|_| !tree.is_from_list());
    let changes = list.and_then(|list| tree.changes(list));
    let class_names = tree.class_names().to_vec();
    // Only the first process of a run saves the list.
    let saves = wanted.train && wanted.test && !matches!(wanted.list, Some(ImageList::OfFirstProcess { .. }));
    let index = saves.then(|| tree.index(labels));
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
        index,
        notes,
        changes,
    })
}

/// Notes about a tree of image files: its problems and its skipped files.
pub(crate) fn tree_notes(tree: &ImageTree) -> Vec<String> {
    let ignored = tree.parts().flat_map(|(_, set)| set.ignored());
    tree.problems().iter().chain(ignored).cloned().collect()
}

/// Source of the images.
pub(crate) enum ImageLocation {
    Synthetic(SyntheticKind),
    Cifar(CifarLayout),
    /// MNIST, or another set in its layout.
    Mnist,
    /// Image files by class, and the file with the labels of a flat `val`; both paths are absolute.
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

/// Applies the holdout and the limits of the configuration.
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
