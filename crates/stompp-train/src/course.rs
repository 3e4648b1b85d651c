//! How far a run is: what its loop carries from step to step beside the network and its optimizer.

use crate::{Evaluation, diagnostics::Since, step::Outcome, tally::Tally};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Everything that the loop has counted. The plan and the data are functions of `step`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Course {
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// Over the whole training.
    pub(crate) whole: Tally,
    /// Over the epoch so far.
    pub(crate) epoch: Tally,
    /// Since the last evaluation.
    pub(crate) since_evaluation: Tally,
    /// Every evaluation so far.
    pub(crate) evaluations: Vec<Evaluation>,
    /// For the next diagnostics.
    #[serde(default)]
    pub(crate) since_diagnostics: Since,
    /// What is wrong with each image that was left out until the last checkpoint.
    #[serde(default)]
    pub(crate) bad_images: Vec<String>,
    /// Wall time that went into all this.
    pub(crate) seconds: f64,
}

impl Course {
    /// Counts a step on a batch of `images` images.
    pub(crate) fn add(&mut self, outcome: &Outcome, images: usize) {
        self.step += 1;
        for tally in [&mut self.whole, &mut self.epoch, &mut self.since_evaluation] {
            tally.add(outcome, images);
        }
    }

    /// Notes images that were left out; those that are noted already are not noted again.
    pub(crate) fn note_bad_images(&mut self, images: Vec<String>) {
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
