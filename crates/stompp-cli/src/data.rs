//! `stompp data`.

use crate::options::{Overrides, Selection};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use stompp_train::{RunConfig, TrainError, write_synthetic};

/// Work with data sets
#[derive(Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Write(Write),
}

/// Write a synthetic data set as files, in the binary layout of CIFAR-10 or CIFAR-100
///
/// The images are those that `stompp train --dataset synthetic10` (or synthetic100) generates; as files, other programs can
/// read them, too. All are 50000 for training and 10000 for test, about 3 kB each.
#[derive(Args)]
#[command(
    after_help = "Example:\n  stompp data write shapes\n  stompp train --dataset cifar10 --data shapes --out runs/a"
)]
pub(crate) struct Write {
    /// Folder to write to; made if missing, must not hold the files yet
    dir: PathBuf,

    #[command(flatten)]
    overrides: Overrides<Generated>,
}

/// The options that decide a generated set.
#[derive(Clone)]
pub(crate) struct Generated;

impl Selection for Generated {
    fn has(flag: &str) -> bool {
        ["dataset", "train-limit", "test-limit"].contains(&flag)
    }
}

impl Data {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let DataCommand::Write(write) = self.command;
        let config = write.overrides.over(&RunConfig::default()).map_err(TrainError::from)?;
        Ok(write_synthetic(&config.data, &write.dir)?)
    }
}
