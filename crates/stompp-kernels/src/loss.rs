//! The training loss.

use crate::check;
use crate::slices::Slices;

/// The sizes of a batch of logits, and how their losses are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossShape {
    /// Images of the batch.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
    /// Images of the whole batch, if these are a part of it.
    pub whole_batch: usize,
    /// The slices whose losses are added in pairs ([`Slices::total`]).
    pub slices: Slices,
}

/// Computes the mean cross-entropy of `logits`, `(batch, classes)`, with `labels`, `(batch)`; see [`cross_entropy_sum`]. An empty batch
/// has loss 0.
///
/// # Panics
///
/// Panics as [`cross_entropy_sum`] does.
pub fn cross_entropy(
    batch: usize,
    classes: usize,
    logits: &[f32],
    labels: &[usize],
    smoothing: f32,
    glogits: Option<&mut [f32]>,
) -> f32 {
    let shape = LossShape {
        batch,
        classes,
        whole_batch: batch,
        slices: Slices::ONE,
    };
    (cross_entropy_sum(&shape, logits, labels, smoothing, glogits) / batch.max(1) as f64) as f32
}

/// Computes the sum of the cross-entropies of `logits`, `(batch, classes)`, with `labels`, `(batch)`: the sum of
/// `log(sum over c of exp(logit_c)) - sum over c of target_c * logit_c`.
///
/// The target is `1 - smoothing + smoothing / classes` for the label's class and `smoothing / classes` for the others, as with
/// `label_smoothing` of PyTorch. `glogits`, if given, is overwritten with the gradient of the mean over the whole batch,
/// `(softmax - target) / whole_batch`. The largest logit is subtracted first, so nothing overflows. All sums are in `f64`.
///
/// # Panics
///
/// Panics if a length does not fit, a label is not below `classes`, or `smoothing` is not in [0, 1].
pub fn cross_entropy_sum(
    shape: &LossShape,
    logits: &[f32],
    labels: &[usize],
    smoothing: f32,
    glogits: Option<&mut [f32]>,
) -> f64 {
    let LossShape {
        batch,
        classes,
        whole_batch,
        slices,
    } = *shape;
    assert!(
        (0.0..=1.0).contains(&smoothing),
        "label smoothing {smoothing} is not in [0, 1]"
    );
    check::length("logits", logits.len(), batch * classes);
    check::length("labels", labels.len(), batch);
    if let Some(label) = labels.iter().find(|&&label| label >= classes) {
        panic!("label {label} of {classes} classes");
    }
    if batch == 0 {
        return 0.0;
    }
    let log_sums: Vec<f64> = logits
        .chunks(classes)
        .map(|row| {
            let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            largest + row.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln()
        })
        .collect();
    // With smoothing 0 the targets are exactly 1 and 0, so that the loss is bitwise equal to the plain cross-entropy.
    let off = f64::from(smoothing) / classes as f64;
    let on = 1.0 - f64::from(smoothing) + off;
    let rows = || logits.chunks(classes).zip(labels).zip(&log_sums);
    let expected = |row: &[f32], label: usize| {
        let logit = f64::from(row[label]);
        if smoothing == 0.0 {
            return logit;
        }
        let others = row.iter().enumerate().filter(|(c, _)| *c != label);
        on * logit + off * others.map(|(_, &z)| f64::from(z)).sum::<f64>()
    };
    let losses: Vec<f64> = rows()
        .map(|((row, &label), log_sum)| log_sum - expected(row, label))
        .collect();
    let sums: Vec<f64> = slices
        .ranges(batch)
        .into_iter()
        .map(|images| losses[images].iter().sum())
        .collect();
    if let Some(glogits) = glogits {
        check::length("glogits", glogits.len(), logits.len());
        for (((row, &label), log_sum), g) in rows().zip(glogits.chunks_mut(classes)) {
            for (c, (g, &z)) in g.iter_mut().zip(row).enumerate() {
                let softmax = (f64::from(z) - log_sum).exp();
                *g = ((softmax - if c == label { on } else { off }) / whole_batch as f64) as f32;
            }
        }
    }
    slices.total(&sums, |a, b| a + b)
}
