//! `stompp train`.

use crate::{
    keeping::Keeping,
    options::{All, Overrides},
    progress::Progress,
    score, signals,
    threads::Threads,
};
use clap::Args;
use std::path::PathBuf;
use stompp_train::{Callback, RunConfig, TrainError};

/// Train a network and keep everything about the run in a directory
///
/// The directory gets config.toml (which --config reads back), run.json (code and machine), summary.txt (the network),
/// metrics.jsonl (what happened), checkpoints, network.safetensors (the trained network) and, last, result.json.
///
/// If the run was interrupted, anyhow, the same command goes on from the last checkpoint, to the same result. Ctrl-C (SIGINT) and
/// SIGTERM finish the step and write a checkpoint first; a second one ends at once. The exit code is then 130 or 143.
///
/// Times are written 20ep (epochs), 4000ba or 4000 (batches, that is, optimizer steps), or 5% (of the whole training).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Train {
    /// Directory for the run; one that was interrupted there goes on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Configuration in TOML; options override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the result only
    #[arg(long)]
    quiet: bool,

    #[command(flatten)]
    overrides: Overrides<All>,

    #[command(flatten)]
    keeping: Keeping,

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
      The same again with another method.";

impl Train {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let base = match &self.config {
            Some(file) => RunConfig::load(file).map_err(TrainError::from)?,
            None => RunConfig::default(),
        };
        let config = self.overrides.over(&base).map_err(TrainError::from)?;
        let session = self.keeping.session(signals::stop()?);
        let result = self.threads.run(|| {
            let mut progress = Progress::new();
            let mut watchers: Vec<&mut dyn Callback> = Vec::new();
            if !self.quiet {
                watchers.push(&mut progress);
            }
            session.train(&config, &self.out, &mut watchers)
        })??;
        println!("{}", score::line(result.top1, result.test_loss, result.test_images));
        Ok(())
    }
}
