//! The result of a run: [`RunResult`], saved as `result.json`.

use crate::{TrainError, Warning, checkpoint, files};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The result of one evaluation on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Mean training loss since the previous evaluation.
    pub train_loss: f64,
    /// Mean test loss of the deploy network.
    pub test_loss: f64,
    /// Top-1 accuracy of the deploy network (every mask all ones), in percent.
    pub top1: f64,
    /// Top-1 accuracy of the network with its current masks, in percent.
    pub top1_as_it_stands: f64,
    /// Number of committed units.
    pub committed_units: usize,
    /// Share of the units that are committed, in [0, 1].
    pub committed_fraction: f64,
    /// Mean over the units of the share of frozen weight entries, in [0, 1].
    pub frozen_fraction: f64,
}

/// The result of a finished run. For method `float`, nothing is binary and the deploy network is the network as trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Final top-1 accuracy of the deploy network on the test images, in percent.
    pub top1: f64,
    /// Final top-1 accuracy of the network with its current masks, in percent.
    pub top1_as_it_stands: f64,
    /// Final mean test loss of the deploy network.
    pub test_loss: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Images in the training set.
    pub train_images: usize,
    /// Images in the test set.
    pub test_images: usize,
    /// Units of the network.
    pub units: usize,
    /// Wall time of the training in seconds, with evaluations, without loading the data.
    pub seconds: f64,
    /// Training images per second, without evaluations.
    pub images_per_s: f64,
    /// Reasons to doubt the result.
    #[serde(default, rename = "concerns", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Every evaluation. The last one is at the end of the training.
    pub evaluations: Vec<Evaluation>,
}

impl RunResult {
    /// Reads the result of the finished run in the directory `run`.
    ///
    /// # Errors
    /// Returns [`TrainError::Unfinished`] if the run has no result yet, and [`TrainError::Io`] or [`TrainError::Damaged`] if it cannot be
    /// read.
    pub fn load(run: &Path) -> Result<Self, TrainError> {
        if !Self::exists(run) && run.join(files::CONFIG).is_file() {
            return Err(TrainError::Unfinished {
                path: run.to_owned(),
                step: checkpoint::newest_step(run)?,
            });
        }
        files::read_json(&run.join(files::RESULT))
    }

    /// Whether the directory `run` holds a finished run.
    pub fn exists(run: &Path) -> bool {
        run.join(files::RESULT).is_file()
    }
}
