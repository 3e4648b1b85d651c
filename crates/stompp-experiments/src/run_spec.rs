//! One run of an experiment: a row of its table with a seed, its name and its configuration.

use crate::row::{Images, Row};
use crate::setup::Setup;
use std::borrow::Cow;
use stompp_train::RunConfig;
use stompp_train::config::{Dataset, Device};

const NO_IMAGENET: &str = "it needs --imagenet PATH: a folder or archive with ImageNet's train and val";

/// Whether to train a run or to skip it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Train with this configuration.
    Train(Box<RunConfig>),
    /// Skip the run, for this reason.
    Skip(Cow<'static, str>),
}

/// One run of an experiment: its configuration, its name and its stage. If several experiments have the same run, it has the same name
/// in each.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSpec {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    /// The name of the run whose weights this run begins with; `None` if it begins with random weights.
    pub(crate) parent: Option<String>,
    /// Runs of a lower stage are trained first.
    pub(crate) stage: u32,
    pub(crate) work: Work,
    words: Vec<String>,
}

impl RunSpec {
    /// Creates the run of `row` with `seed` in a setup, in stage 0.
    pub fn new(row: Row, seed: u64, setup: &Setup) -> Self {
        let mut words = row.words(&setup.base);
        let device = setup.base.device.name;
        words.extend((device != Device::Cpu).then(|| device.name().to_owned()));
        words.push(format!("seed{seed}"));
        let mut config = setup.base.clone();
        row.apply(&mut config);
        config.seed = seed;
        let parent = row.pretraining().map(|parent| Self::new(parent, seed, setup).name());
        if let Some(parent) = &parent {
            config.training.init_from = Some(parent.into());
        }
        let work = match row.images {
            Images::Set(dataset) => {
                config.data.dataset = dataset;
                if !dataset.is_synthetic() {
                    config.data.path = setup.data.clone();
                }
                Work::Train(Box::new(config))
            }
            Images::ImageNet if setup.imagenet.is_none() => Work::Skip(NO_IMAGENET.into()),
            Images::ImageNet => {
                config.data.dataset = Dataset::Folder;
                config.data.path = setup.imagenet.clone();
                config.data.classes = Some(1_000);
                config.data.image_size = 224;
                Work::Train(Box::new(config))
            }
        };
        Self {
            row,
            seed,
            parent,
            stage: 0,
            work,
            words,
        }
    }

    /// Returns the same run in another stage. Every run of a stage is trained before the next stage begins.
    pub fn with_stage(self, stage: u32) -> Self {
        Self { stage, ..self }
    }

    /// The name of the run and of its directory: `resnet20-cifar10-bnn-ste-clipped-seed0`.
    pub fn name(&self) -> String {
        self.words.join("-")
    }

    /// The configuration; `None` if the run is skipped. If it begins with the weights of another run of the sweep, `training.init_from`
    /// is the name of that run, without a folder.
    pub fn config(&self) -> Option<&RunConfig> {
        match &self.work {
            Work::Train(config) => Some(config),
            Work::Skip(_) => None,
        }
    }

    /// Returns whether `pattern` selects this run. A pattern is a list of terms, separated by commas. Each term must match a word of the
    /// run's name, or the whole name; `*` matches any text.
    pub fn matches(&self, pattern: &str) -> bool {
        let name = self.name();
        pattern
            .split(',')
            .map(str::trim)
            .all(|term| glob(term, &name) || self.words.iter().any(|word| glob(term, word)))
    }
}

/// Returns whether `pattern` matches all of `text`. `*` matches any text.
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
    use crate::overrides::{Length, Override};
    use crate::row::MethodVariant;
    use crate::setup::Preset;
    use stompp_train::config::{Order, Setting, Surrogate};

    fn spec(images: Images, variant: MethodVariant, imagenet: bool) -> RunSpec {
        let row = Row {
            network: "resnet20".parse().unwrap(),
            images,
            setting: Setting::Bnn,
            variant,
            overrides: Override::None,
        };
        let setup = Setup {
            data: Some("cifar".into()),
            imagenet: imagenet.then(|| "imagenet".into()),
            ..Setup::new(Preset::Paper)
        };
        RunSpec::new(row, 3, &setup)
    }

    #[test]
    fn names_tell_what_is_run() {
        let ste = spec(Images::CIFAR10, MethodVariant::Ste(Surrogate::Clipped), false);
        assert_eq!(ste.name(), "resnet20-cifar10-bnn-ste-clipped-seed3");
        let reverse = spec(Images::CIFAR10, MethodVariant::Stompp(Order::Reverse), false);
        assert_eq!(reverse.name(), "resnet20-cifar10-bnn-stompp-reverse-seed3");
        assert_eq!(reverse.config().unwrap().seed, 3);
        let mut setup = Setup::new(Preset::Smoke);
        setup.base.device.name = Device::Cuda;
        let elsewhere = RunSpec::new(reverse.row, 3, &setup);
        assert_eq!(elsewhere.name(), "resnet20-cifar10-bnn-stompp-reverse-cuda-seed3");
    }

    #[test]
    fn imagenet_has_a_path_of_its_own_and_is_skipped_without() {
        let spec = |given| spec(Images::ImageNet, MethodVariant::Stompp(Order::Forward), given);
        assert_eq!(spec(false).work, Work::Skip(NO_IMAGENET.into()));
        let data = &spec(true).config().unwrap().data.clone();
        assert_eq!((data.dataset, data.image_size), (Dataset::Folder, 224));
        assert_eq!(data.path.as_deref(), Some("imagenet".as_ref()));
    }

    #[test]
    fn a_pretrained_run_names_the_float_run_that_it_begins_with() {
        let setup = Setup::new(Preset::Small);
        let ste = spec(Images::CIFAR10, MethodVariant::Ste(Surrogate::Clipped), false).row;
        let pretrained = RunSpec::new(ste.with_override(Override::Pretrained(Length::full(12))), 3, &setup);
        assert_eq!(
            pretrained.name(),
            "resnet20-cifar10-bnn-ste-clipped-full-12ep-pretrained-seed3"
        );
        let float = ste
            .with_variant(MethodVariant::Float)
            .with_override(Override::Length(Length::full(12)));
        let float = RunSpec::new(float, 3, &setup);
        assert_eq!(pretrained.parent, Some(float.name()));
        assert_eq!(float.parent, None);
        let mut config = pretrained.config().unwrap().clone();
        assert_eq!(config.training.init_from.take(), Some(float.name().into()));
        config.method = float.config().unwrap().method.clone();
        assert_eq!(
            &config,
            float.config().unwrap(),
            "only the method and the weights differ"
        );
    }

    #[test]
    fn patterns_are_whole_words() {
        let both = MethodVariant::StomppSte(Order::Forward, Surrogate::Clipped);
        let ste = spec(Images::CIFAR10, both, false);
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
