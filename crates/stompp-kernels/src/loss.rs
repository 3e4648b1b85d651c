//! The training loss.

use crate::check;

/// Mean cross-entropy of `logits`, `(batch, classes)`, against `labels`, `(batch)`: the mean of
/// `log(sum over c of exp(logit_c)) - logit_label`.
///
/// `glogits`, if given, is overwritten with the gradient `(softmax - onehot) / batch`. The largest logit is subtracted
/// first, so nothing overflows; everything is summed in `f64`. An empty batch has loss 0.
///
/// # Panics
///
/// If a length does not fit, or a label is not below `classes`.
pub fn cross_entropy(
    batch: usize,
    classes: usize,
    logits: &[f32],
    labels: &[usize],
    glogits: Option<&mut [f32]>,
) -> f32 {
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
    let rows = || logits.chunks(classes).zip(labels).zip(&log_sums);
    let loss = rows()
        .map(|((row, &label), log_sum)| log_sum - f64::from(row[label]))
        .sum::<f64>()
        / batch as f64;
    if let Some(glogits) = glogits {
        check::length("glogits", glogits.len(), logits.len());
        for (((row, &label), log_sum), g) in rows().zip(glogits.chunks_mut(classes)) {
            for (c, (g, &z)) in g.iter_mut().zip(row).enumerate() {
                let softmax = (f64::from(z) - log_sum).exp();
                *g = ((softmax - if c == label { 1.0 } else { 0.0 }) / batch as f64) as f32;
            }
        }
    }
    loss as f32
}
