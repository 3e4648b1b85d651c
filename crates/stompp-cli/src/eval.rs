//! `stompp eval`.

use crate::{progress::TrainProgress, score, threads::Threads};
use anyhow::ensure;
use clap::Args;
use std::path::PathBuf;
use stompp_console::outln;
use stompp_train::{CheckpointName, SavedRun};

/// Evaluate the trained network of a run again, from its saved file
///
/// Only the test images are needed: `val` of image files, or the test file of CIFAR. A run with --holdout tests on training images, so it
/// needs those.
#[derive(Args)]
pub(crate) struct Eval {
    /// Directory of a run
    run_dir: PathBuf,

    /// New path of the data set, if it has moved
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    /// New path of the labels of a flat val, if they have moved
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Evaluate a checkpoint instead: best, last, the number of a step, or a file
    #[arg(long, value_name = "best|last|STEP|FILE")]
    checkpoint: Option<CheckpointName>,

    /// Write top-1, top-5, loss, each class and the confusion matrix to this new JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the prediction for each image to this new CSV file
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,

    #[command(flatten)]
    threads: Threads,
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        for file in [&self.json, &self.predictions].into_iter().flatten() {
            // Checked before the evaluation, which may take long.
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
