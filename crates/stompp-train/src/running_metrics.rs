//! Sums over steps, and the epoch report computed from them.

use crate::{
    callback::{EpochReport, ProcessesReport, TimeSplit},
    freezing::FrozenCounts,
    step::StepResult,
};
use serde::{Deserialize, Serialize};

/// Loss, accuracy and time, summed over a number of steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunningMetrics {
    steps: u64,
    images: usize,
    correct: usize,
    loss: f64,
    seconds: TimeSplit,
    /// Bytes that all processes sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    bytes_sent: u64,
    /// Seconds of each process's own work, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    process_seconds: Vec<f64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl RunningMetrics {
    /// Adds a step on a batch of `images` images.
    pub(crate) fn add(&mut self, result: &StepResult, images: usize) {
        self.steps += 1;
        self.images += images;
        self.correct += result.correct;
        self.loss += f64::from(result.loss);
        self.seconds.data += result.seconds.data;
        self.seconds.forward += result.seconds.forward;
        self.seconds.backward += result.seconds.backward;
        self.seconds.update += result.seconds.update;
        if self.process_seconds.len() != result.processes.len() {
            // The run was resumed with another number of processes.
            self.process_seconds = vec![0.0; result.processes.len()];
            self.bytes_sent = 0;
        }
        for (seconds, share) in self.process_seconds.iter_mut().zip(&result.processes) {
            *seconds += share.seconds;
            self.bytes_sent += share.bytes_sent;
        }
    }

    /// The report of several processes; `None` if there is one.
    fn processes(&self) -> Option<ProcessesReport> {
        let seconds = self.process_seconds.clone();
        let slowest = (0..seconds.len()).max_by(|&a, &b| seconds[a].total_cmp(&seconds[b]))?;
        Some(ProcessesReport {
            bytes_per_step: self.bytes_sent / (seconds.len() as u64 * self.steps.max(1)),
            seconds,
            slowest,
        })
    }

    /// Mean loss; 0 if there are no steps.
    pub(crate) fn mean_loss(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    /// Images per second of the steps' time; 0 if that time is 0.
    pub(crate) fn images_per_s(&self) -> f64 {
        let seconds = self.seconds.total();
        if seconds > 0.0 {
            self.images as f64 / seconds
        } else {
            0.0
        }
    }

    /// The report of an epoch that ends after `step` steps, with the network frozen as in `frozen`.
    pub(crate) fn report(&self, step: u64, epoch: f64, frozen: FrozenCounts) -> EpochReport {
        EpochReport {
            step,
            epoch,
            train_loss: self.mean_loss(),
            train_top1: 100.0 * self.correct as f64 / self.images.max(1) as f64,
            images_per_s: self.images_per_s(),
            committed_units: frozen.committed_units,
            units: frozen.units,
            frozen_fraction: frozen.frozen_fraction,
            seconds: self.seconds,
            processes: self.processes(),
        }
    }
}
