//! The state of the training loop, without the network and its optimizer.

use crate::{Evaluation, diagnostics::DiagnosticsAccumulator, running_metrics::RunningMetrics, step::StepResult};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Counters and sums of the training loop. The plan and the data are functions of `step`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainState {
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// Sums over the whole training.
    pub(crate) whole: RunningMetrics,
    /// Sums over the current epoch so far.
    pub(crate) epoch: RunningMetrics,
    /// Sums since the last evaluation.
    pub(crate) since_evaluation: RunningMetrics,
    /// Every evaluation so far.
    pub(crate) evaluations: Vec<Evaluation>,
    /// Sums since the last diagnostics.
    #[serde(default)]
    pub(crate) since_diagnostics: DiagnosticsAccumulator,
    /// The problem of each image that was left out before the last checkpoint.
    #[serde(default)]
    pub(crate) bad_images: Vec<String>,
    /// Wall time of the training, in seconds.
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

    /// Adds images that were left out, unless they are in the list already.
    pub(crate) fn add_bad_images(&mut self, images: Vec<String>) {
        let known: HashSet<String> = self.bad_images.iter().cloned().collect();
        let new = images.into_iter().filter(|image| !known.contains(image));
        self.bad_images.extend(new);
    }

    /// Whether the last evaluation is at the current step and better than all earlier ones.
    pub(crate) fn is_best(&self) -> bool {
        match self.evaluations.split_last() {
            Some((last, before)) => last.step == self.step && before.iter().all(|earlier| earlier.top1 < last.top1),
            None => false,
        }
    }
}
