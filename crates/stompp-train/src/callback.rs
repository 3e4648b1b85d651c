//! Callbacks look on: progress, metrics and reports are made of what they are told.

use crate::{DiagnosticsReport, Evaluation, InitReport, RunResult, TrainError, Warning};
use serde::{Deserialize, Serialize};

/// What is known when training begins, or goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStart {
    /// Optimizer steps done already, before the run was interrupted.
    pub step: u64,
    /// The commit of the code that is running.
    pub revision: String,
    /// Images in the training set.
    pub train_images: usize,
    /// Images in the test set.
    pub test_images: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps of the training.
    pub steps: u64,
    /// Units of the network.
    pub units: usize,
    /// What is different from the part of the run before the interruption, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// What one optimizer step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Optimizer steps done, this one included.
    pub step: u64,
    /// The batch's mean loss before the step.
    pub loss: f32,
    /// How many of the batch's images the network, as it stood, classified right.
    pub correct: usize,
    /// Units that were committed during the step.
    pub committed_units: usize,
}

/// Where the time of an epoch's steps went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSplit {
    /// Waiting for batches.
    pub data: f64,
    /// Forward pass and loss; on a GPU, queueing their work.
    pub forward: f64,
    /// Backward pass and gradient norms; on a GPU, waiting for the forward pass, too.
    pub backward: f64,
    /// Optimizer and masks.
    pub update: f64,
}

impl TimeSplit {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.data + self.forward + self.backward + self.update
    }
}

/// What one epoch, or the part of one at the end of the training, did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Optimizer steps done.
    pub step: u64,
    /// The same in epochs.
    pub epoch: f64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Top-1 accuracy on the training batches while learning, in percent.
    pub train_top1: f64,
    /// Training images per second, evaluations not counted.
    pub images_per_s: f64,
    /// Units committed during the last step.
    pub committed_units: usize,
    /// Units of the network.
    pub units: usize,
    /// Mean over the units of the share of frozen weight entries, in [0, 1].
    pub frozen_fraction: f64,
    /// Where the time went.
    pub seconds: TimeSplit,
}

/// A return to a checkpoint after a divergence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Optimizer steps done at the checkpoint.
    pub step: u64,
    /// What diverged, when and where.
    pub divergence: String,
    /// The learning rate from here on.
    pub learning_rate: f32,
}

/// Looks on while a network trains, and changes nothing.
///
/// # Errors
/// Whatever a callback returns ends the run: a record that cannot be written must not be missed silently.
pub trait Callback {
    /// Before the first step, of the training or after an interruption.
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        let _ = start;
        Ok(())
    }

    /// After [`Callback::on_start`], if the network's first weights were read from a file.
    fn on_init(&mut self, init: &InitReport) -> Result<(), TrainError> {
        let _ = init;
        Ok(())
    }

    /// After every optimizer step.
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        let _ = step;
        Ok(())
    }

    /// After every epoch, and at the end of the training if that is inside one.
    fn on_epoch(&mut self, epoch: &EpochReport) -> Result<(), TrainError> {
        let _ = epoch;
        Ok(())
    }

    /// As often as [`Session::diagnostics`](crate::Session::diagnostics) says, and at the end of the training.
    fn on_diagnostics(&mut self, diagnostics: &DiagnosticsReport) -> Result<(), TrainError> {
        let _ = diagnostics;
        Ok(())
    }

    /// After every evaluation.
    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        let _ = evaluation;
        Ok(())
    }

    /// Once, before the end, if images could not be read and were left out: what is wrong with each, naming its file.
    fn on_bad_images(&mut self, images: &[String]) -> Result<(), TrainError> {
        let _ = images;
        Ok(())
    }

    /// If there is something to know about the images, such as files of the folder that are not looked at: at the start, and at the end
    /// of files that were written anew meanwhile.
    fn on_notes(&mut self, notes: &[String]) -> Result<(), TrainError> {
        let _ = notes;
        Ok(())
    }

    /// After a return to a checkpoint; steps beyond it, and what was told of them, count no more.
    fn on_restore(&mut self, restored: &RestoreReport) -> Result<(), TrainError> {
        let _ = restored;
        Ok(())
    }

    /// Before the end, for each reason to doubt the result.
    fn on_warning(&mut self, warning: &Warning) -> Result<(), TrainError> {
        let _ = warning;
        Ok(())
    }

    /// Once, when everything is done and before the result is kept.
    fn on_end(&mut self, result: &RunResult) -> Result<(), TrainError> {
        let _ = result;
        Ok(())
    }
}

/// Nobody looks on.
impl Callback for () {}
