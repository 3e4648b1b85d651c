//! `stompp train`.

use crate::{
    checkpoint_args::CheckpointArgs,
    options::{All, Overrides},
    processes::{ProcessArgs, ReportedByFirst},
    progress::TrainProgress,
    score,
    threads::Threads,
};
use anyhow::Context;
use clap::Args;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use stompp_console::{errln, outln, signals};
use stompp_parallel::processes_on_these_cores;
use stompp_train::{Callback, RunConfig, RunResult, TrainError};

/// Train a network and save everything about the run in a directory
///
/// The directory gets config.toml (for --config), run.json (code and machine), summary.txt (the network), metrics.jsonl (the metrics),
/// checkpoints, network.safetensors (the trained network) and, last, result.json.
///
/// If the run was interrupted in any way, the same command resumes it from the last checkpoint and gets the same result. `stompp train
/// --out DIR` also resumes it, with the run's own options. After Ctrl-C (SIGINT), SIGTERM or SIGHUP, the run finishes its step and writes a
/// checkpoint; a running evaluation is cancelled and repeated later. A second signal ends the run at once. The exit code is then 130, 143
/// or 129.
///
/// Several processes train one network together if mpirun or srun starts them (a program with the feature `mpi`; on GPUs also without, see
/// --nccl-id): each has a part of each batch, and with --device cuda a GPU of its own. The result has the same bits as that of one process with the same --slices.
///
/// Write times as 20ep (epochs), 4000ba or 4000 (batches, that is, optimizer steps), or 5% (of the whole training).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Train {
    /// Directory for the run; an interrupted run in it is resumed
    #[arg(long, value_name = "DIR", aliases = ["output", "output-dir"])]
    out: PathBuf,

    /// Configuration in TOML; options override it [default: the configuration of the run in --out, if there is one]
    #[arg(long, value_name = "FILE", conflicts_with = "continue")]
    config: Option<PathBuf>,

    /// Print only the result
    #[arg(long)]
    quiet: bool,

    #[command(flatten)]
    overrides: Overrides<All>,

    #[command(flatten)]
    checkpoints: CheckpointArgs,

    #[command(flatten)]
    processes: ProcessArgs,

    #[command(flatten)]
    threads: Threads,
}

const EXAMPLES: &str = "\
Examples:
  stompp train --out runs/first
      A ResNet-20 on generated images: nothing to download.
  stompp train --dataset cifar10 --data cifar-10-binary.tar.gz --model resnet20 --method stompp --steps 20ep --out runs/a
      The same on CIFAR-10, from https://www.cs.toronto.edu/~kriz/cifar.html (binary version).
  stompp train --config runs/a/config.toml --method ste --out runs/b
      The same with another method.
  mpirun -n 4 stompp train --dataset cifar10 --data cifar-10-binary.tar.gz --model resnet20 --out runs/d
      The second example in four processes.
  stompp train --continue runs/b --steps 5ep --learning-rate 0.01 --out runs/c
      5 more epochs, from the end of runs/b.";

/// The field with the run to continue.
const CONTINUE: &str = "training.continue_from";

impl Train {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.overrides.over(&self.base()?).map_err(TrainError::from)?;
        let stop = signals::stop_flag().context("cannot watch for signals")?;
        let processes = self.processes.join(&config)?;
        let (is_first, sharing) = (processes.rank() == 0, processes_on_these_cores(&*processes)?);
        let session = self.checkpoints.session(stop, Arc::clone(&processes));
        let finished = RunResult::exists(&self.out) && self.checkpoints.is_resume();
        let started = self.threads.run_beside(sharing, || {
            let mut progress = TrainProgress::new();
            let mut callbacks: Vec<&mut dyn Callback> = Vec::new();
            if !self.quiet {
                callbacks.push(&mut progress);
            }
            session.train(&config, &self.out, &mut callbacks)
        });
        // The others wait for this process.
        let result = started.inspect_err(|error| processes.abort(&format!("{error:#}")))?;
        if !is_first {
            return match result {
                Err(stopped @ TrainError::Stopped { .. }) => Err(anyhow::Error::from(stopped).context(ReportedByFirst)),
                result => Ok(result.map(drop)?),
            };
        }
        let result = result?;
        if !self.quiet {
            if finished {
                errln!("the run in {} is finished; this is its result", self.out.display());
            }
            for warning in &result.warnings {
                errln!("warning: {warning}");
            }
        }
        outln!("{}", score::line(result.top1, result.test_loss, result.test_images));
        Ok(())
    }

    /// The configuration that the options override.
    fn base(&self) -> Result<RunConfig, TrainError> {
        if let Some(file) = &self.config {
            return Ok(RunConfig::load(file)?);
        }
        if let Some(parent) = self.overrides.get(CONTINUE) {
            let mut config = RunConfig::from_run(Path::new(parent))?.ok_or_else(|| TrainError::NoRun {
                path: PathBuf::from(parent),
            })?;
            // These apply to the beginning of the parent run.
            (config.training.init_from, config.training.continue_from) = (None, None);
            return Ok(config);
        }
        let own = if self.checkpoints.is_resume() {
            RunConfig::from_run(&self.out)?
        } else {
            None
        };
        Ok(own.unwrap_or_default())
    }
}
