//! `stompp summary`.

use crate::options::{Overrides, Selection};
use clap::Args;
use stompp_train::{RunConfig, TrainError};

/// Show what a network costs: weights, multiply-accumulates and bytes, layer by layer
///
/// The number of classes is the data set's.
#[derive(Args)]
#[command(after_help = "Example:\n  stompp summary --model resnet18 --dataset cifar100")]
pub(crate) struct ShowSummary {
    #[command(flatten)]
    overrides: Overrides<Size>,
}

/// The options that decide a network's layers and sizes.
#[derive(Clone)]
pub(crate) struct Size;

impl Selection for Size {
    fn has(flag: &str) -> bool {
        ["dataset", "image-size", "model", "width", "setting"].contains(&flag)
    }
}

impl ShowSummary {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.overrides.over(&RunConfig::default()).map_err(TrainError::from)?;
        stompp_console::outln!("{}", config.summary().map_err(TrainError::from)?);
        Ok(())
    }
}
