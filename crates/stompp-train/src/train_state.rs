//! The state of the training loop, beside the network and its optimizer.

use crate::{Evaluation, diagnostics::DiagnosticsAccumulator, running_metrics::RunningMetrics, step::StepResult};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Counters and sums of the training loop. The plan and the data are functions of `step`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainState {
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// Over the whole training.
    pub(crate) whole: RunningMetrics,
    /// Over the epoch so far.
    pub(crate) epoch: RunningMetrics,
    /// Since the last evaluation.
    pub(crate) since_evaluation: RunningMetrics,
    /// Every evaluation so far.
    pub(crate) evaluations: Vec<Evaluation>,
    /// For the next diagnostics.
    #[serde(default)]
    pub(crate) since_diagnostics: DiagnosticsAccumulator,
    /// What is wrong with each image that was left out until the last checkpoint.
    #[serde(default)]
    pub(crate) bad_images: Vec<String>,
    /// Wall time that went into all this.
    pub(crate) seconds: f64,
}

impl TrainState {
    /// Counts a step on a batch of `images` images.
    pub(crate) fn add(&mut self, result: &StepResult, images: usize) {
        self.step += 1;
        for metrics in [&mut self.whole, &mut self.epoch, &mut self.since_evaluation] {
            metrics.add(result, images);
        }
    }

    /// Notes images that were left out; those that are noted already are not noted again.
    pub(crate) fn add_bad_images(&mut self, images: Vec<String>) {
        let known: HashSet<String> = self.bad_images.iter().cloned().collect();
        let new = images.into_iter().filter(|image| !known.contains(image));
        self.bad_images.extend(new);
    }

    /// Whether the last evaluation is at this step and better than every one before.
    pub(crate) fn is_best(&self) -> bool {
        match self.evaluations.split_last() {
            Some((last, before)) => last.step == self.step && before.iter().all(|earlier| earlier.top1 < last.top1),
            None => false,
        }
    }
}
