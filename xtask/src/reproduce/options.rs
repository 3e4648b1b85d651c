//! The command line of `reproduce`.

use crate::usage::UsageError;
use crate::workspace;
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use stompp_experiments::{Archive, Experiment, Preset, Setup, Shard, SweepOptions, builtin};
use stompp_train::config::Device;

/// Options of `reproduce`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The experiment to run
    #[arg(value_parser = experiment_parser())]
    experiment: String,
    /// Size of the runs
    #[arg(long, default_value_t, value_parser = preset_parser())]
    preset: Preset,
    /// Folder with CIFAR in its binary version (or with the folders cifar-10-batches-bin and cifar-100-binary), or the
    /// official archive. Without it, preset smoke uses generated images
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Folder or archive with ImageNet's train and val, for preset paper. Without it, ImageNet runs are skipped
    #[arg(long, value_name = "PATH")]
    imagenet: Option<PathBuf>,
    /// Folder of results [default: target/reproduce in the workspace]. Reports go to PRESET/EXPERIMENT in it, runs to PRESET/runs, which
    /// all experiments share. Finished runs are not repeated, interrupted runs resume
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Train only runs with all these words in their name, such as `resnet20,stompp` or `seed0,*ste*` (`--dry-run` shows the names)
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Device to train on
    #[arg(long, value_name = "NAME", default_value_t = Device::Cpu)]
    device: Device,
    /// Number of seeds: 0 to N-1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Print the status of each run and what would be trained, and train nothing
    #[arg(long, visible_alias = "status")]
    pub(super) dry_run: bool,
    /// Train only the I-th of N parts, to share a sweep among machines. Afterwards `--merge` their folders
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Copy the finished runs from these folders (--out of other machines) and write the report; train nothing
    #[arg(long, value_name = "FOLDER", num_args = 1.., conflicts_with_all = ["dry_run", "shard"])]
    pub(super) merge: Vec<PathBuf>,
    /// Train nothing, and write a script that trains each run in a task of a Slurm job array and then writes the report. `--jobs` is the
    /// number of tasks at a time [default: no limit]. Without `--archive`, the archive is in the folder of results
    #[arg(long, conflicts_with_all = ["dry_run", "shard", "merge"])]
    pub(super) slurm: bool,
    /// Archive each run as a small JSON file in this folder, such as docs/runs. Runs that are there are not trained again
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Number of runs at a time, which share the cores [default: one for each core; one on a GPU or with --preset paper]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print only the tables
    #[arg(long)]
    pub(super) quiet: bool,
}

/// The name that means every experiment.
const EVERYTHING: &str = "all";

fn experiment_parser() -> PossibleValuesParser {
    let each = builtin::ALL
        .iter()
        .map(|experiment| PossibleValue::new(experiment.name).help(experiment.title));
    PossibleValuesParser::new(each.chain([PossibleValue::new(EVERYTHING).help("All experiments, in one report")]))
}

fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    let each = Preset::ALL.iter().map(|preset| {
        let note = match preset {
            Preset::Smoke => " (with --data)",
            Preset::Paper => "; prints an estimate of the cost first (needs --data)",
            _ => " (needs --data)",
        };
        let help = format!("{}{note}", preset.description());
        PossibleValue::new(preset.name()).help(help)
    });
    PossibleValuesParser::new(each).map(|name| name.parse().expect("it is the name of a preset"))
}

impl Options {
    /// The selected experiments in this setup.
    pub(super) fn experiments(&self, setup: &Setup) -> Vec<Experiment> {
        builtin::ALL
            .iter()
            .filter(|experiment| [experiment.name, EVERYTHING].contains(&&*self.experiment))
            .map(|experiment| experiment.experiment(setup))
            .collect()
    }

    /// The setup: size, images and seeds. Paths of images are made absolute, so that they do not depend on the current folder.
    ///
    /// # Errors
    /// Returns a [`UsageError`] if the preset needs images and none are given, or if this build does not support the device. Returns an
    /// error if the path of the images does not exist.
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

    /// The options of the sweep.
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

    /// Returns the same options with the images of every data set in `folder`.
    pub(super) fn with_data_at(&self, folder: &Path) -> Self {
        let data = self.preset.needs_data().then(|| folder.to_owned());
        Self {
            data: data.clone(),
            imagenet: data.filter(|_| self.preset == Preset::Paper),
            ..self.clone()
        }
    }

    /// The command line of the same sweep, without paths.
    pub(super) fn command(&self) -> String {
        let verb = match self.device {
            Device::Cpu => "xtask",
            Device::Cuda => "xtask-cuda",
        };
        let Ok(arguments) = self.arguments(|_| Ok::<_, Infallible>("PATH".to_owned()));
        format!("cargo {verb} reproduce {}", arguments.join(" "))
    }

    /// The arguments of `reproduce` that decide which runs the sweep has. `path` gives the text of a path.
    ///
    /// # Errors
    /// The errors of `path`.
    pub(super) fn arguments<E>(&self, path: impl Fn(&Path) -> Result<String, E>) -> Result<Vec<String>, E> {
        let mut arguments = vec![self.experiment.clone(), "--preset".to_owned(), self.preset.to_string()];
        if self.device != Device::Cpu {
            arguments.extend(["--device".to_owned(), self.device.name().to_owned()]);
        }
        for (option, given) in [("--data", &self.data), ("--imagenet", &self.imagenet)] {
            if let Some(given) = given {
                arguments.extend([option.to_owned(), path(given)?]);
            }
        }
        arguments.extend(["--seeds".to_owned(), self.seeds.to_string()]);
        Ok(arguments)
    }
}
