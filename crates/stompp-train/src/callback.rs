//! Callbacks observe a run: they receive its steps, evaluations and other events, for progress, metrics and reports.

use crate::{DiagnosticsReport, Evaluation, InitReport, RunResult, TrainError, Warning};
use serde::{Deserialize, Serialize};

/// The state of a run when training starts or resumes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStart {
    /// Optimizer steps done before; 0 for a new run.
    pub step: u64,
    /// The commit of the code that is running.
    pub revision: String,
    /// Images in the training set.
    pub train_images: usize,
    /// Images in the test set.
    pub test_images: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps of the training.
    pub steps: u64,
    /// Units of the network.
    pub units: usize,
    /// Changes since the run was interrupted, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// The report of one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Optimizer steps done, including this one.
    pub step: u64,
    /// The batch's mean loss before the step.
    pub loss: f32,
    /// Images of the batch that the network classified correctly before the step.
    pub correct: usize,
    /// Number of committed units during the step.
    pub committed_units: usize,
}

/// The time of an epoch's steps by activity, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSplit {
    /// Waiting for batches.
    pub data: f64,
    /// Forward pass and loss; on a GPU, only queueing them.
    pub forward: f64,
    /// Backward pass and gradient norms; on a GPU, also waiting for the forward pass.
    pub backward: f64,
    /// Optimizer and mask updates.
    pub update: f64,
}

impl TimeSplit {
    /// The total time.
    pub fn total(&self) -> f64 {
        self.data + self.forward + self.backward + self.update
    }
}

/// The report of one epoch, or of the partial epoch at the end of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Top-1 accuracy on the training batches while learning, in percent.
    pub train_top1: f64,
    /// Training images per second, without evaluations.
    pub images_per_s: f64,
    /// Number of committed units during the last step.
    pub committed_units: usize,
    /// Units of the network.
    pub units: usize,
    /// Mean over the units of the share of frozen weight entries, in [0, 1].
    pub frozen_fraction: f64,
    /// The time of the steps by activity.
    pub seconds: TimeSplit,
    /// What the processes did, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<ProcessesReport>,
}

/// What several processes did in an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessesReport {
    /// Bytes that a process sent to others in a step, on average. Falls as the network freezes, because the gradients of committed weights
    /// are not sent.
    pub bytes_per_step: u64,
    /// Seconds of each process's own work, with waiting for images, but without waiting for others.
    pub seconds: Vec<f64>,
    /// The process with the most work. The others wait for it.
    pub slowest: usize,
}

/// A return to a checkpoint after a divergence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Optimizer steps done at the checkpoint.
    pub step: u64,
    /// The message of the divergence: the value, the step and the layer.
    pub divergence: String,
    /// The learning rate from this step on.
    pub learning_rate: f32,
}

/// Observes the training of a network. A callback changes nothing.
///
/// # Errors
/// An error from a callback ends the run, so that a failed write is never ignored.
pub trait Callback {
    /// Called before the first step of a new or resumed training.
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        let _ = start;
        Ok(())
    }

    /// Called after [`Callback::on_start`] at step 0, if initial weights were loaded from a file.
    fn on_init(&mut self, init: &InitReport) -> Result<(), TrainError> {
        let _ = init;
        Ok(())
    }

    /// Called after every optimizer step.
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        let _ = step;
        Ok(())
    }

    /// Called after every epoch, and at the end of the training if it ends inside an epoch.
    fn on_epoch(&mut self, epoch: &EpochReport) -> Result<(), TrainError> {
        let _ = epoch;
        Ok(())
    }

    /// Called at the interval of [`Session::diagnostics`](crate::Session::diagnostics), and at the end of the training.
    fn on_diagnostics(&mut self, diagnostics: &DiagnosticsReport) -> Result<(), TrainError> {
        let _ = diagnostics;
        Ok(())
    }

    /// Called after every evaluation.
    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        let _ = evaluation;
        Ok(())
    }

    /// Called once before the end, if unreadable images were left out. `images` has one line per image: its file and the problem.
    fn on_bad_images(&mut self, images: &[String]) -> Result<(), TrainError> {
        let _ = images;
        Ok(())
    }

    /// Called at the start with notes about the images, such as skipped files, and at the end with a note about files that were rewritten
    /// during the run. Not called if there are no notes.
    fn on_notes(&mut self, notes: &[String]) -> Result<(), TrainError> {
        let _ = notes;
        Ok(())
    }

    /// Called after a return to a checkpoint. Earlier reports on steps after that checkpoint are void.
    fn on_restore(&mut self, restored: &RestoreReport) -> Result<(), TrainError> {
        let _ = restored;
        Ok(())
    }

    /// Called before the end, once for each reason to doubt the result.
    fn on_warning(&mut self, warning: &Warning) -> Result<(), TrainError> {
        let _ = warning;
        Ok(())
    }

    /// Called once at the end, before the result is written.
    fn on_end(&mut self, result: &RunResult) -> Result<(), TrainError> {
        let _ = result;
        Ok(())
    }
}

/// A callback that does nothing.
impl Callback for () {}
