//! `stompp data`.

mod check;
mod fetch;
mod pack;
mod show;
mod write;

use crate::options::{Overrides, Selection};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use stompp_train::{RunConfig, TrainError, config::Dataset};

/// Work with data sets
#[derive(Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Fetch(fetch::Fetch),
    Check(check::Check),
    Pack(pack::Pack),
    Show(show::Show),
    Write(write::Write),
}

impl Data {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            DataCommand::Fetch(fetch) => fetch.run(),
            DataCommand::Check(check) => check.run(),
            DataCommand::Pack(pack) => pack.run(),
            DataCommand::Show(show) => show.run(),
            DataCommand::Write(write) => write.run(),
        }
    }
}

/// The default configuration of commands for image files: data set `folder` with images of 224 pixels.
fn image_files() -> RunConfig {
    let mut config = RunConfig::default();
    config.data.dataset = Dataset::Folder;
    config.data.image_size = 224;
    config
}

/// The configuration for the data set at `path`, with these options. Data sets other than `folder` use the defaults of [`RunConfig`].
fn config_for<S: Selection>(overrides: &Overrides<S>, path: Option<PathBuf>) -> Result<RunConfig, TrainError> {
    let mut config = overrides.over(&image_files())?;
    if config.data.dataset != Dataset::Folder {
        config = overrides.over(&RunConfig::default())?;
    }
    config.data.path = path;
    Ok(config)
}
