//! `stompp eval`.

use crate::{progress::TrainProgress, score, threads::Threads};
use anyhow::ensure;
use clap::Args;
use std::path::PathBuf;
use stompp_console::outln;
use stompp_train::{CheckpointName, SavedRun};

/// Score the trained network of a run again, from its saved file
///
/// Only the test images are needed: `val` of image files, the test file of CIFAR. With --holdout they are among the training images.
#[derive(Args)]
pub(crate) struct Eval {
    /// Directory of a run
    run_dir: PathBuf,

    /// Where the data set is now, if it has moved since
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    /// Where the classes of a flat val are now, if they have moved since
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Score a checkpoint instead: best, last, the number of a step, or a file
    #[arg(long, value_name = "best|last|STEP|FILE")]
    checkpoint: Option<CheckpointName>,

    /// Write top-1, top-5, loss, each class and the confusion matrix into this new file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the answer to each image into this new file, as CSV
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,

    #[command(flatten)]
    threads: Threads,
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        for file in [&self.json, &self.predictions].into_iter().flatten() {
            // Not only after an evaluation that may have taken long.
            ensure!(
                !file.exists(),
                "{} already exists: choose another file or remove it",
                file.display()
            );
        }
        let mut run = SavedRun::open(&self.run_dir)?;
        if self.data.is_some() {
            run.config.data.path = self.data;
        }
        if self.labels.is_some() {
            run.config.data.labels = self.labels;
        }
        run.checkpoint = self.checkpoint;
        let report = self.threads.run(|| run.evaluate(&mut TrainProgress::new()))??;
        if let Some(file) = &self.json {
            report.write_json(file)?;
        }
        if let Some(file) = &self.predictions {
            report.write_predictions(file)?;
        }
        outln!("{}", score::line(report.top1, report.loss, report.images));
        Ok(())
    }
}
