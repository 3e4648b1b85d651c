//! `stompp data write`.

use crate::options::{Overrides, Selection};
use clap::Args;
use std::path::PathBuf;
use stompp_train::{RunConfig, TrainError, data::write_synthetic};

/// Write a synthetic data set as files, in the binary layout of CIFAR-10 or CIFAR-100
///
/// The images are those of `stompp train --dataset synthetic10` (or synthetic100). As files, other programs can read them, too.
/// Without limits, there are 50000 training and 10000 test images of about 3 kB each.
#[derive(Args)]
#[command(
    after_help = "Example:\n  stompp data write shapes\n  stompp train --dataset cifar10 --data shapes --out runs/a"
)]
pub(super) struct Write {
    /// Folder to write to; created if missing, must not contain the files yet
    dir: PathBuf,

    #[command(flatten)]
    overrides: Overrides<WriteOptions>,
}

/// The options that affect a synthetic data set.
#[derive(Clone)]
struct WriteOptions;

impl Selection for WriteOptions {
    fn has(flag: &str) -> bool {
        ["dataset", "train-limit", "test-limit"].contains(&flag)
    }
}

impl Write {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = self.overrides.over(&RunConfig::default()).map_err(TrainError::from)?;
        Ok(write_synthetic(&config.data, &self.dir)?)
    }
}
