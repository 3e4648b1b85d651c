//! Accuracy and loss of a network on a set of images.

use crate::{
    TrainError,
    device_data::{DataSource, DeviceBatch, DeviceDataset},
    error::device_error,
    processes,
};
use serde::Serialize;
use stompp_binarize::{EvalMode, Network};
use stompp_data::Normalization;
use stompp_graph::CostSummary;
use stompp_parallel::{Collective, CollectiveError};

/// Accuracy and loss of a network on a set of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Top-1 accuracy in percent.
    pub top1: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Number of images, without those that could not be read.
    pub images: usize,
}

/// The outputs of a network for a batch of images.
pub(crate) struct BatchPredictions<'a> {
    /// The index of each image in its set.
    pub(crate) indices: &'a [usize],
    /// The class of each image.
    pub(crate) labels: &'a [usize],
    /// One row of logits per image.
    pub(crate) logits: &'a [f32],
}

/// Evaluates networks on a set of images in a given mode.
pub(crate) struct Evaluator<'a, D: DeviceDataset> {
    pub(crate) images: &'a DataSource<D>,
    pub(crate) normalization: &'a Normalization,
    pub(crate) mode: EvalMode,
    /// Multiply-accumulates of the network for one image.
    pub(crate) macs_per_image: usize,
    /// The processes that share the images. Each has the part of `images` that is its own.
    pub(crate) processes: &'a dyn Collective,
}

impl<D: DeviceDataset> Evaluator<'_, D> {
    /// Scores `network` on all images. Changes nothing. Calls `each` with the outputs of one batch of this process after the other, in
    /// order; an error from `each` ends the evaluation. All processes call it equally often, with `None` after their last batch, so that
    /// they can agree in it.
    ///
    /// The score does not depend on the batch size or on the number of processes.
    ///
    /// # Errors
    /// Returns the error of `each`, [`TrainError::Device`] if an allocation or a kernel launch fails, [`TrainError::Data`] if an image
    /// cannot be read, and [`TrainError::Processes`] if a process has ended.
    pub(crate) fn score(
        &self,
        network: &Network<D>,
        each: &mut dyn FnMut(Option<&BatchPredictions<'_>>) -> Result<(), TrainError>,
    ) -> Result<Score, TrainError> {
        let mut sum = ScoreAccumulator::default();
        let batch_size = D::evaluation_batch(self.macs_per_image);
        let most_batches = self.most_batches(batch_size)?;
        let mut calls = 0;
        for batch in self.images.evaluation_batches(self.normalization, batch_size)? {
            let DeviceBatch {
                images,
                labels,
                indices,
            } = batch?;
            let logits = network.evaluate(images, self.mode).map_err(device_error)?.as_vec();
            sum.add(&logits, &labels);
            each(Some(&BatchPredictions {
                indices: &indices,
                labels: &labels,
                logits: &logits,
            }))?;
            calls += 1;
        }
        for _ in calls..most_batches {
            each(None)?;
        }
        // Evaluation batches differ in size from training batches. Their cached memory would stay unused until the next evaluation.
        self.images.device().try_empty_cache().map_err(device_error)?;
        sum.gather(self.processes)?;
        Ok(sum.score())
    }

    /// The largest number of batches of a process. Parts differ by an image, and batches by the number of threads. 0 for one process.
    fn most_batches(&self, batch_size: usize) -> Result<usize, TrainError> {
        if self.processes.size() == 1 {
            return Ok(0);
        }
        let own = self.images.evaluated_images().div_ceil(batch_size);
        let all = processes::gather(self.processes, &own)?;
        Ok(all.into_iter().max().unwrap_or(own))
    }
}

/// A score over the batches so far.
#[derive(Debug, Default)]
pub(crate) struct ScoreAccumulator {
    right: u64,
    /// The loss of each image. They are added in order at the end, so that batches and processes do not change the sum.
    losses: Vec<f64>,
}

impl ScoreAccumulator {
    /// Adds a batch: a row of `logits` for each label.
    pub(crate) fn add(&mut self, logits: &[f32], labels: &[usize]) {
        if labels.is_empty() {
            return;
        }
        self.right += count_correct(logits, labels) as u64;
        let rows = logit_rows(logits, labels.len()).zip(labels);
        self.losses.extend(rows.map(|(row, label)| cross_entropy(row, *label)));
    }

    /// Adds what the other processes have, in the order of the images.
    ///
    /// # Errors
    /// Returns [`TrainError::Processes`] if a process has ended.
    fn gather(&mut self, processes: &dyn Collective) -> Result<(), TrainError> {
        if processes.size() == 1 {
            return Ok(());
        }
        let losses = self.losses.iter().flat_map(|loss| loss.to_le_bytes());
        let messages = processes.gather(self.right.to_le_bytes().into_iter().chain(losses).collect())?;
        *self = Self::default();
        for (rank, message) in messages.iter().enumerate() {
            let ([right, losses @ ..], []) = message.as_chunks() else {
                return Err(CollectiveError::Mismatch { rank }.into());
            };
            self.right += u64::from_le_bytes(*right);
            self.losses.extend(losses.iter().map(|loss| f64::from_le_bytes(*loss)));
        }
        Ok(())
    }

    /// The score over all added batches.
    pub(crate) fn score(&self) -> Score {
        let images = self.losses.len();
        Score {
            top1: 100.0 * self.right as f64 / images as f64,
            loss: self.losses.iter().sum::<f64>() / images as f64,
            images,
        }
    }
}

/// Multiply-accumulates of a network for one image while all weights are open, so binary layers count in full.
pub(crate) fn macs_per_image(summary: &CostSummary) -> usize {
    let total = summary.total();
    total.binary_macs + total.float_macs
}

/// The cross-entropy of one row of logits and its label: `ln sum exp(z - max) + max - z[label]`, in 64 bits. `libm` gives the same
/// bits on every machine.
fn cross_entropy(row: &[f32], label: usize) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|z| libm::exp(f64::from(*z) - largest)).sum();
    libm::log(sum) + largest - f64::from(row[label])
}

/// Splits logits into `rows` rows.
pub(crate) fn logit_rows(logits: &[f32], rows: usize) -> std::slice::ChunksExact<'_, f32> {
    logits.chunks_exact(logits.len() / rows)
}

/// Counts the rows of `logits`, one per label, whose largest entry is at the label. Of equal entries, the first counts as largest.
pub(crate) fn count_correct(logits: &[f32], labels: &[usize]) -> usize {
    let answers = predicted_classes(logits, labels.len());
    answers.zip(labels).filter(|(answer, label)| answer == *label).count()
}

/// The index of the largest entry in each of the `rows` rows of `logits`; the first of equal entries.
pub(crate) fn predicted_classes(logits: &[f32], rows: usize) -> impl Iterator<Item = usize> {
    self::logit_rows(logits, rows).map(|row| {
        let entries = row.iter().enumerate();
        entries.fold(0, |best, (class, z)| if *z > row[best] { class } else { best })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunConfig, images::RunImages};
    use dfdx::tensor::Cpu;

    #[test]
    fn the_first_of_equal_logits_is_the_answer() {
        let logits = [0.0, 2.0, 2.0, /**/ -1.0, -3.0, -0.5, /**/ 0.0, 0.0, 0.0];
        assert_eq!(count_correct(&logits, &[1, 2, 0]), 3);
        assert_eq!(count_correct(&logits, &[2, 2, 1]), 1);
    }

    #[test]
    fn cross_entropy_is_that_of_the_softmax() {
        // softmax of (0, ln 3) is (1/4, 3/4).
        let row = [0.0, 3f32.ln()];
        approx::assert_abs_diff_eq!(cross_entropy(&row, 0), 4f64.ln(), epsilon = 1e-7);
        approx::assert_abs_diff_eq!(cross_entropy(&row, 1), (4.0f64 / 3.0).ln(), epsilon = 1e-7);
        assert_eq!(cross_entropy(&[1e30, 0.0], 0), 0.0);
        assert!(cross_entropy(&[f32::NAN, 0.0], 1).is_nan());
    }

    /// The batch size must not affect the score: it differs between devices and numbers of threads.
    #[test]
    fn logits_are_the_same_bits_in_batches_of_any_size() {
        let config = "data = { train_limit = 20, test_limit = 40, image_size = 16 }
             network = { model = 'resnet8', width = 8 }";
        let config = RunConfig::from_toml(config).unwrap();
        let device = Cpu::default();
        let network = Network::new(&device, &config.graph().unwrap(), config.binarization(), 3).unwrap();
        let images = RunImages::load(&config.data, None).unwrap();
        let normalization = Normalization::new(images.statistics).unwrap();
        let source = DataSource::new(&device, &images.test, &normalization).unwrap();
        for mode in [EvalMode::Current, EvalMode::Binarized] {
            let logits = |batch_size: usize| -> Vec<u32> {
                let batches = source.evaluation_batches(&normalization, batch_size).unwrap();
                let answers = batches.map(|batch| network.evaluate(batch.unwrap().images, mode).unwrap().as_vec());
                answers.flatten().map(f32::to_bits).collect()
            };
            let together = logits(40);
            for batch_size in [1, 2, 7, 39] {
                assert!(logits(batch_size) == together, "batches of {batch_size}");
            }
        }
    }
}
