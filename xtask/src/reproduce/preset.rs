//! How large the runs of an experiment are: everything of a configuration that its rows share.

use clap::ValueEnum;
use std::fmt;
use std::path::PathBuf;
use stompp_train::RunConfig;
use stompp_train::config::{RefreshRate, Time};

/// The size of an experiment's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// Minutes on two cores: narrow networks, small images; the synthetic set, or CIFAR-10 with --data
    #[default]
    Smoke,
    /// At most 30 minutes a seed on two cores: 10,000 images of CIFAR-10 shrunk to 16x16, 6 epochs (needs --data)
    Small,
    /// 20 to 60 minutes a run on two cores: CIFAR at its own size, with crop and flip, 20 epochs (needs --data)
    Medium,
    /// The paper's networks, images and recipe: says first what it costs (needs --data)
    Paper,
}

impl Preset {
    /// The name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Paper => "paper",
        }
    }

    /// Whether only real images will do.
    pub(crate) fn needs_data(self) -> bool {
        self != Self::Smoke
    }

    /// Whether its networks are so large that two at a time might not fit into memory: a batch of 256 images keeps tens
    /// of gigabytes of activations in ResNet-50.
    pub(crate) fn one_at_a_time(self) -> bool {
        self == Self::Paper
    }

    /// What the rows of an experiment start from.
    pub(crate) fn base(self) -> RunConfig {
        let mut config = RunConfig::default();
        let (data, network, method, training) = (
            &mut config.data,
            &mut config.network,
            &mut config.method,
            &mut config.training,
        );
        match self {
            // Short enough for the order of the methods to show in a minute, and no more: with twice the epochs ResNet-20 by
            // STE had caught up (seeds 0 and 1: 65.1 and 60.5 %, StoMPP 64.8 and 64.6 %; synthetic set).
            Self::Smoke => {
                data.train_limit = Some(10_000);
                data.image_size = 16;
                data.augment = false;
                network.width = Some(8);
                method.refresh = RefreshRate::from_window_fraction(0.1).expect("a tenth of a window");
                training.duration = Time::Epochs(3.0);
                training.batch_size = 16;
            }
            // No augmentation (*ours*): runs this short underfit. ResNet-20, seed 0, with crop and flip: STE 31.2, StoMPP 33.2
            // %; without: 34.1 and 39.3 % (revision eccc6fa).
            Self::Small => {
                data.train_limit = Some(10_000);
                data.image_size = 16;
                data.augment = false;
                network.width = Some(16);
                method.refresh = RefreshRate::from_window_fraction(0.1).expect("a tenth of a window");
                training.duration = Time::Epochs(6.0);
                training.batch_size = 32;
            }
            // Crop and flip are the default, as are 32x32 pixels.
            Self::Medium => {
                network.width = Some(16);
                method.refresh = RefreshRate::from_window_fraction(0.1).expect("a tenth of a window");
                training.duration = Time::Epochs(20.0);
                training.batch_size = 128;
            }
            Self::Paper => {
                // The defaults are the paper's recipe; the number of epochs is not in its summaries (*ours*).
                training.duration = Time::Epochs(200.0);
            }
        }
        config
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Size, images and seeds of an experiment's runs: what its cells are made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) preset: Preset,
    /// What every run starts from: the preset's.
    pub(crate) base: RunConfig,
    /// Where CIFAR is.
    pub(crate) data: Option<PathBuf>,
    /// Where ImageNet is.
    pub(crate) imagenet: Option<PathBuf>,
    /// Seeds 0 to this, exclusive.
    pub(crate) seeds: u64,
}

impl Scale {
    /// One seed, and images nowhere.
    pub(crate) fn new(preset: Preset) -> Self {
        Self {
            preset,
            base: preset.base(),
            data: None,
            imagenet: None,
            seeds: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_run() {
        for preset in Preset::value_variants() {
            preset.base().check().unwrap();
        }
    }
}
