//! The command line of `reproduce`, and what it means.

use super::cell::Cell;
use super::experiment::{self, Experiment};
use super::preset::{Preset, Scale};
use super::sweep::Share;
use crate::usage::UsageError;
use crate::workspace;
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Options of `reproduce`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which table
    #[arg(value_parser = PossibleValuesParser::new(experiment::ALL.iter().map(|experiment| experiment.name)))]
    experiment: String,
    /// How large its runs are
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,
    /// Folder with CIFAR in its binary version (or with the folders cifar-10-batches-bin and cifar-100-binary), or the
    /// official archive. Without it, smoke runs on a synthetic set
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Where results go [default: target/reproduce/EXPERIMENT in the workspace]. Runs that are finished there already are
    /// not repeated
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Only runs whose name has all these words, such as `resnet20,stompp` or `seed0,*ste*` (`--dry-run` shows the names)
    #[arg(long, value_name = "WORDS")]
    pub(super) only: Option<String>,
    /// Number of seeds: 0 to N-1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Say what would be run, and run nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Runs at a time [default: one a core; one with --preset paper]. They share the cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print the table alone
    #[arg(long)]
    pub(super) quiet: bool,
}

impl Options {
    /// The experiment that is asked for.
    pub(super) fn experiment(&self) -> Experiment {
        *experiment::ALL
            .iter()
            .find(|experiment| experiment.name == self.experiment)
            .expect("the command line takes no other name")
    }

    /// Size, images and seeds; the path of the images is made absolute, so that it means the same from everywhere.
    ///
    /// # Errors
    /// If the preset needs images and none are given, or there is nothing at their path.
    pub(super) fn scale(&self) -> Result<Scale> {
        let data = match &self.data {
            Some(path) => Some(
                path.canonicalize()
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
            None if self.preset.needs_data() => {
                return Err(UsageError::new(format!(
                    "preset {} needs --data PATH: a folder or archive with CIFAR in its binary version \
                     (https://www.cs.toronto.edu/~kriz/cifar.html). Preset smoke runs without",
                    self.preset
                ))
                .into());
            }
            None => None,
        };
        Ok(Scale {
            preset: self.preset,
            data,
            seeds: self.seeds,
        })
    }

    /// Where results go.
    pub(super) fn out(&self) -> PathBuf {
        let default = || workspace::root().join("target/reproduce").join(&self.experiment);
        self.out.clone().unwrap_or_else(default)
    }

    /// How `runs` runs share the machine.
    pub(super) fn share(&self, runs: usize) -> Share {
        let cores = available_parallelism().map_or(1, usize::from);
        let default = if self.preset.one_at_a_time() { 1 } else { cores };
        Share::of(cores, self.jobs.map_or(default, usize::from), runs)
    }

    /// Whether `--only` leaves this cell.
    pub(super) fn selects(&self, cell: &Cell) -> bool {
        self.only.as_ref().is_none_or(|only| cell.matches(only))
    }
}
