//! The command line of `reproduce`, and what it means.

use crate::usage::UsageError;
use crate::workspace;
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::path::{Path, PathBuf};
use stompp_experiments::{Archive, Experiment, Preset, Setup, Shard, SweepOptions, builtin};
use stompp_train::config::Device;

/// Options of `reproduce`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which experiment
    #[arg(value_parser = experiment_parser())]
    experiment: String,
    /// How large its runs are
    #[arg(long, default_value_t, value_parser = preset_parser())]
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
    only: Option<String>,
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

/// The name that means every experiment.
const EVERYTHING: &str = "all";

fn experiment_parser() -> PossibleValuesParser {
    let each = builtin::ALL
        .iter()
        .map(|experiment| PossibleValue::new(experiment.name).help(experiment.title));
    PossibleValuesParser::new(each.chain([PossibleValue::new(EVERYTHING).help("Every one of them, in one report")]))
}

fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    let each = Preset::ALL.iter().map(|preset| {
        let help = match preset {
            Preset::Smoke => {
                "Minutes on two cores: narrow networks, small images; the synthetic set, or CIFAR-10 with --data"
            }
            Preset::Small => {
                "At most 30 minutes a seed on two cores: 10,000 images of CIFAR-10 shrunk to 16x16, 6 epochs (needs --data)"
            }
            Preset::Medium => {
                "20 to 60 minutes a run on two cores: CIFAR at its own size, with crop and flip, 20 epochs (needs --data)"
            }
            Preset::Paper => "The paper's networks, images and recipe: says first what it costs (needs --data)",
        };
        PossibleValue::new(preset.name()).help(help)
    });
    PossibleValuesParser::new(each).map(|name| name.parse().expect("it is the name of a preset"))
}

impl Options {
    /// The experiments that are asked for, in this setup.
    pub(super) fn experiments(&self, setup: &Setup) -> Vec<Experiment> {
        builtin::ALL
            .iter()
            .filter(|experiment| [experiment.name, EVERYTHING].contains(&&*self.experiment))
            .map(|experiment| experiment.experiment(setup))
            .collect()
    }

    /// Size, images and seeds. Paths of images are made absolute, so that they mean the same from everywhere.
    ///
    /// # Errors
    /// If the preset needs images and none are given, there is nothing at their path, or this build does not support the device.
    pub(super) fn setup(&self) -> Result<Setup> {
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
        let mut setup = Setup {
            data: absolute(&self.data)?,
            imagenet: absolute(&self.imagenet)?,
            seeds: self.seeds,
            ..Setup::new(self.preset)
        };
        setup.base.device.name = self.device;
        setup.base.check().map_err(|error| UsageError::new(error.to_string()))?;
        Ok(setup)
    }

    /// How the sweep is carried out.
    pub(super) fn sweep(&self) -> SweepOptions {
        let out = self.out.clone();
        SweepOptions {
            report: Some(self.experiment.clone()),
            archive: self.archive.clone().map(Archive::new),
            only: self.only.clone(),
            shard: self.shard,
            jobs: self.jobs.map(usize::from),
            quiet: self.quiet,
            command: Some(self.command()),
            ..SweepOptions::new(out.unwrap_or_else(|| workspace::root().join("target/reproduce")))
        }
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

    /// The command that does the same again, without paths.
    pub(super) fn command(&self) -> String {
        let path = |given: &Option<PathBuf>, text: &'static str| if given.is_some() { text } else { "" };
        let (verb, device) = match self.device {
            Device::Cpu => ("xtask", ""),
            Device::Cuda => ("xtask-cuda", " --device cuda"),
        };
        format!(
            "cargo {verb} reproduce {} --preset {}{device}{}{} --seeds {}",
            self.experiment,
            self.preset,
            path(&self.data, " --data PATH"),
            path(&self.imagenet, " --imagenet PATH"),
            self.seeds
        )
    }
}
