//! One run of an experiment: a row of its table, and a seed.

use super::preset::Scale;
use super::row::{Images, Row};
use std::borrow::Cow;
use stompp_train::RunConfig;
use stompp_train::config::{Dataset, Device};

const NO_IMAGENET: &str = "it needs --imagenet PATH: a folder or archive with ImageNet's train and val";

/// What is to be done for a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Train by this configuration.
    Train(Box<RunConfig>),
    /// Nothing: it cannot be run as it was asked for, for this reason.
    Refused(Cow<'static, str>),
}

/// One run of an experiment. Cells of several experiments that are the same run have the same name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    /// Runs of a lower stage are run first.
    pub(crate) stage: u32,
    pub(crate) work: Work,
    words: Vec<String>,
}

impl Cell {
    /// The run of `row` with `seed` at a scale, in the first stage.
    pub(crate) fn new(row: Row, seed: u64, scale: &Scale) -> Self {
        let mut words = row.words(&scale.base);
        let device = scale.base.device.name;
        words.extend((device != Device::Cpu).then(|| device.name().to_owned()));
        words.push(format!("seed{seed}"));
        let mut config = scale.base.clone();
        config.seed = seed;
        row.configure(&mut config);
        let work = match row.images {
            Images::Set(dataset) => {
                config.data.dataset = dataset;
                if !dataset.is_synthetic() {
                    config.data.path = scale.data.clone();
                }
                Work::Train(Box::new(config))
            }
            Images::ImageNet if scale.imagenet.is_none() => Work::Refused(NO_IMAGENET.into()),
            Images::ImageNet => {
                config.data.dataset = Dataset::Folder;
                config.data.path = scale.imagenet.clone();
                config.data.classes = Some(1_000);
                config.data.image_size = 224;
                Work::Train(Box::new(config))
            }
        };
        Self {
            row,
            seed,
            stage: 0,
            work,
            words,
        }
    }

    /// The cell's name, which its run directory has too: `resnet20-cifar10-bnn-ste-clipped-seed0`.
    pub(crate) fn name(&self) -> String {
        self.words.join("-")
    }

    /// The configuration, unless the cell is refused.
    pub(crate) fn config(&self) -> Option<&RunConfig> {
        match &self.work {
            Work::Train(config) => Some(config),
            Work::Refused(_) => None,
        }
    }

    /// Whether `pattern` means this cell: words with commas between them, each of which is one of the words of the
    /// cell's name, or the whole name; `*` stands for any text.
    pub(crate) fn matches(&self, pattern: &str) -> bool {
        let name = self.name();
        pattern
            .split(',')
            .map(str::trim)
            .all(|term| glob(term, &name) || self.words.iter().any(|word| glob(term, word)))
    }
}

/// Whether all of `text` is as `pattern` says, in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices()
                .map(|(at, _)| &text[at..])
                .chain([""])
                .any(|tail| glob(rest, tail))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::preset::Preset;
    use crate::reproduce::row::{Knob, Procedure};
    use stompp_train::config::{Order, Setting, Surrogate};

    fn cell(images: Images, procedure: Procedure, imagenet: bool) -> Cell {
        let row = Row {
            network: "resnet20".parse().unwrap(),
            images,
            setting: Setting::Bnn,
            procedure,
            knob: Knob::Preset,
        };
        let scale = Scale {
            data: Some("cifar".into()),
            imagenet: imagenet.then(|| "imagenet".into()),
            ..Scale::new(Preset::Paper)
        };
        Cell::new(row, 3, &scale)
    }

    #[test]
    fn names_tell_what_is_run() {
        let ste = cell(Images::CIFAR10, Procedure::Ste(Surrogate::Clipped), false);
        assert_eq!(ste.name(), "resnet20-cifar10-bnn-ste-clipped-seed3");
        let reverse = cell(Images::CIFAR10, Procedure::Stompp(Order::Reverse), false);
        assert_eq!(reverse.name(), "resnet20-cifar10-bnn-stompp-reverse-seed3");
        assert_eq!(reverse.config().unwrap().seed, 3);
        let mut scale = Scale::new(Preset::Smoke);
        scale.base.device.name = Device::Cuda;
        let elsewhere = Cell::new(reverse.row, 3, &scale);
        assert_eq!(elsewhere.name(), "resnet20-cifar10-bnn-stompp-reverse-cuda-seed3");
    }

    #[test]
    fn imagenet_is_read_from_its_own_place_and_refused_without() {
        let cell = |given| cell(Images::ImageNet, Procedure::Stompp(Order::Forward), given);
        assert_eq!(cell(false).work, Work::Refused(NO_IMAGENET.into()));
        let data = &cell(true).config().unwrap().data.clone();
        assert_eq!((data.dataset, data.image_size), (Dataset::Folder, 224));
        assert_eq!(data.path.as_deref(), Some("imagenet".as_ref()));
    }

    #[test]
    fn patterns_are_whole_words() {
        let both = Procedure::StomppSte(Order::Forward, Surrogate::Clipped);
        let ste = cell(Images::CIFAR10, both, false);
        for pattern in [
            "resnet20",
            "stompp-ste",
            "resnet20, seed3",
            "stompp*",
            "*",
            "resnet*,bnn,*ward",
            "resnet20-*-seed3",
            &ste.name(),
        ] {
            assert!(ste.matches(pattern), "{pattern}");
        }
        for pattern in [
            "resnet2",
            "stompp",
            "ste",
            "seed",
            "resnet20,seed4",
            "",
            "resnet20,",
            "*8",
        ] {
            assert!(!ste.matches(pattern), "{pattern}");
        }
    }
}
