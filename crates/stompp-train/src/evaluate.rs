//! Accuracy and loss of a network on a set of images.

use crate::{
    TrainError,
    error::device_error,
    feed::{Fed, Holder, Supply},
};
use serde::Serialize;
use stompp_binarize::{Network, View};
use stompp_data::Normalization;
use stompp_nn::ops;

/// How well a network does on a set of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Top-1 accuracy in percent.
    pub top1: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Number of images, without those that could not be read.
    pub images: usize,
}

/// Scores `network` on all of `images`. Changes nothing.
///
/// # Errors
/// The device's, as [`TrainError::Device`], and the data's.
pub(crate) fn evaluate<D: Holder>(
    network: &Network<D>,
    images: &Supply<D>,
    normalization: &Normalization,
    view: View,
) -> Result<Score, TrainError> {
    let (mut right, mut loss, mut seen) = (0, 0.0, 0);
    for batch in images.evaluation(normalization)? {
        let Fed { images, labels } = batch?;
        let n = labels.len();
        let logits = network.evaluate(images, view).map_err(device_error)?;
        right += correct(&logits.as_vec(), &labels);
        let mean = ops::cross_entropy(logits, &labels).map_err(device_error)?;
        loss += f64::from(mean.as_vec()[0]) * n as f64;
        seen += n;
    }
    // Batches of another size than training's: what they took would lie idle until the next evaluation.
    images.device().try_empty_cache().map_err(device_error)?;
    Ok(Score {
        top1: 100.0 * right as f64 / seen as f64,
        loss: loss / seen as f64,
        images: seen,
    })
}

/// How many rows of `logits`, one a label, have their largest entry at the label; the first of equals counts.
pub(crate) fn correct(logits: &[f32], labels: &[usize]) -> usize {
    let answers = classes(logits, labels.len());
    answers.zip(labels).filter(|(answer, label)| answer == *label).count()
}

/// Where each of the `rows` rows of `logits` has its largest entry; of equals the first.
pub(crate) fn classes(logits: &[f32], rows: usize) -> impl Iterator<Item = usize> {
    logits.chunks_exact(logits.len() / rows).map(|row| {
        let entries = row.iter().enumerate();
        entries.fold(0, |best, (class, z)| if *z > row[best] { class } else { best })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_is_the_answer() {
        let logits = [0.0, 2.0, 2.0, /**/ -1.0, -3.0, -0.5, /**/ 0.0, 0.0, 0.0];
        assert_eq!(correct(&logits, &[1, 2, 0]), 3);
        assert_eq!(correct(&logits, &[2, 2, 1]), 1);
    }
}
