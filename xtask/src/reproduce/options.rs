//! The command line of `reproduce`, and what it means.

use super::archive::Archive;
use super::cell::Cell;
use super::experiments::{self, Experiment};
use super::ledger::{Entry, Ledger};
use super::preset::{Preset, Scale};
use super::sweep::{Shard, Share};
use crate::usage::UsageError;
use crate::workspace;
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use stompp_train::config::Device;

/// Options of `reproduce`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which experiment
    #[arg(value_parser = experiment_parser())]
    experiment: String,
    /// How large its runs are
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,
    /// Folder with CIFAR in its binary version (or with the folders cifar-10-batches-bin and cifar-100-binary), or the
    /// official archive. Without it, smoke runs on a synthetic set
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// ImageNet: a folder or archive with train and val, for preset paper. Its runs are left out without
    #[arg(long, value_name = "PATH")]
    imagenet: Option<PathBuf>,
    /// Where results go [default: target/reproduce in the workspace]: reports to PRESET/EXPERIMENT there, runs, which experiments
    /// share, to PRESET/runs. Runs that are finished there already are not repeated, interrupted ones go on
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Only runs whose name has all these words, such as `resnet20,stompp` or `seed0,*ste*` (`--dry-run` shows the names)
    #[arg(long, value_name = "WORDS")]
    pub(super) only: Option<String>,
    /// What computes
    #[arg(long, value_name = "NAME", default_value_t = Device::Cpu)]
    device: Device,
    /// Number of seeds: 0 to N-1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Say how each run stands and what would be run, and run nothing
    #[arg(long, visible_alias = "status")]
    pub(super) dry_run: bool,
    /// Run only the I-th of N parts, to share a sweep among machines: give each its part, then `--merge` the folders
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Take the finished runs of these folders (other machines' --out) and write the report; run nothing
    #[arg(long, value_name = "FOLDER", num_args = 1.., conflicts_with_all = ["dry_run", "shard"])]
    pub(super) merge: Vec<PathBuf>,
    /// Keep what each run found as a small JSON file in this folder, such as docs/runs, and count the runs there as done
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Runs at a time [default: one a core; one with --preset paper]. They share the cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print the tables alone
    #[arg(long)]
    pub(super) quiet: bool,
}

/// What stands for every experiment.
const EVERYTHING: &str = "all";

fn experiment_parser() -> PossibleValuesParser {
    let each = experiments::ALL
        .iter()
        .map(|experiment| PossibleValue::new(experiment.name).help(experiment.title));
    PossibleValuesParser::new(each.chain([PossibleValue::new(EVERYTHING).help("Every one of them, in one report")]))
}

impl Options {
    /// The experiments that are asked for.
    pub(super) fn experiments(&self) -> Vec<&'static Experiment> {
        let wanted = |experiment: &&Experiment| [experiment.name, EVERYTHING].contains(&&*self.experiment);
        experiments::ALL.iter().filter(wanted).collect()
    }

    /// Size, images and seeds; paths of images are made absolute, so that they mean the same from everywhere.
    ///
    /// # Errors
    /// If the preset needs images and none are given, or there is nothing at their path.
    pub(super) fn scale(&self) -> Result<Scale> {
        if self.data.is_none() && self.preset.needs_data() {
            return Err(UsageError::new(format!(
                "preset {} needs --data PATH: a folder or archive with CIFAR in its binary version \
                 (https://www.cs.toronto.edu/~kriz/cifar.html). Preset smoke runs without",
                self.preset
            ))
            .into());
        }
        let absolute = |path: &Option<PathBuf>| {
            let absolute = path.as_ref().map(|path| {
                path.canonicalize()
                    .with_context(|| format!("cannot read {}", path.display()))
            });
            absolute.transpose()
        };
        let mut scale = Scale {
            data: absolute(&self.data)?,
            imagenet: absolute(&self.imagenet)?,
            seeds: self.seeds,
            ..Scale::new(self.preset)
        };
        scale.base.device.name = self.device;
        // Refuses a device that this build does not know, before anything is begun.
        scale.base.check().map_err(|error| UsageError::new(error.to_string()))?;
        Ok(scale)
    }

    /// The same with the images of every data set in `folder`.
    pub(super) fn with_data_at(&self, folder: &Path) -> Self {
        let data = self.preset.needs_data().then(|| folder.to_owned());
        Self {
            data: data.clone(),
            imagenet: data.filter(|_| self.preset == Preset::Paper),
            ..self.clone()
        }
    }

    /// Where results of every preset and experiment go.
    pub(super) fn out(&self) -> PathBuf {
        self.out
            .clone()
            .unwrap_or_else(|| workspace::root().join("target/reproduce"))
    }

    /// Where what runs found is kept, if anywhere.
    pub(super) fn archive(&self) -> Option<Archive> {
        self.archive.clone().map(Archive::new)
    }

    /// Where the reports of this one go.
    pub(super) fn folder(&self) -> PathBuf {
        self.out().join(self.preset.name()).join(&self.experiment)
    }

    /// The arguments that make the same again, but for places.
    pub(super) fn again(&self) -> String {
        let place = |given: &Option<PathBuf>, text: &'static str| if given.is_some() { text } else { "" };
        let (verb, device) = match self.device {
            Device::Cpu => ("xtask", ""),
            Device::Cuda => ("xtask-cuda", " --device cuda"),
        };
        format!(
            "cargo {verb} reproduce {} --preset {}{device}{}{} --seeds {}",
            self.experiment,
            self.preset,
            place(&self.data, " --data PATH"),
            place(&self.imagenet, " --imagenet PATH"),
            self.seeds
        )
    }

    /// How `runs` runs share the machine.
    pub(super) fn share(&self, runs: usize) -> Share {
        let cores = available_parallelism().map_or(1, usize::from);
        let one = self.preset.one_at_a_time() || self.device == Device::Cuda;
        let default = if one { 1 } else { cores };
        Share::of(cores, self.jobs.map_or(default, usize::from), runs)
    }

    /// Whether `--only` leaves this cell.
    pub(super) fn selects(&self, cell: &Cell) -> bool {
        self.only.as_ref().is_none_or(|only| cell.matches(only))
    }

    /// The entries that `--only` and `--shard` leave.
    pub(super) fn selected<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = &'a Entry> {
        let in_shard = |place| self.shard.is_none_or(|shard| shard.has(place));
        let entries = ledger.entries.iter().enumerate();
        entries
            .filter(move |(place, entry)| in_shard(*place) && self.selects(&entry.cell))
            .map(|(_, entry)| entry)
    }
}
