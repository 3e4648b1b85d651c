//! The training loss.

use crate::{OpResult, backend::Backend, take_gradient, tape::Recording};
use dfdx::{
    shapes::{Dim, HasShape},
    tensor::{PutTape, SplitTape, Storage, Tensor},
    tensor_ops::ReshapeTo,
};

/// Mean cross-entropy of `logits` (N, classes) against class indices `labels` (N), in nats. If several processes share the batch
/// ([`BatchReduction`](crate::BatchReduction)), it is the mean over all of it.
///
/// The gradient is `(softmax(logits) - onehot(labels)) / N`, times the gradient of the loss.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// If there are not N labels, or a label is not below the number of classes.
pub fn cross_entropy<B, C, D, T>(logits: Tensor<(B, C), f32, D, T>, labels: &[usize]) -> OpResult<(), D, T>
where
    B: Dim,
    C: Dim,
    D: Backend,
    T: Recording<D>,
{
    smoothed_cross_entropy(logits, labels, 0.0)
}

/// As [`cross_entropy`], with label smoothing as in PyTorch: the target of each class is `smoothing / classes`, and the target of
/// the label's class is higher by `1 - smoothing`.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// As [`cross_entropy`], and if `smoothing` is not in [0, 1].
pub fn smoothed_cross_entropy<B, C, D, T>(
    logits: Tensor<(B, C), f32, D, T>,
    labels: &[usize],
    smoothing: f32,
) -> OpResult<(), D, T>
where
    B: Dim,
    C: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (logits, mut tape) = logits.try_contiguous()?.split_tape();
    let device = logits.device().clone();
    let (batch, classes) = *logits.shape();
    assert_eq!(
        labels.len(),
        batch.size(),
        "the number of labels differs from the number of rows of logits"
    );
    let reduction = tape.reduction();
    let mut gradient = Storage::<f32>::try_alloc_len(&device, batch.size() * classes.size())?;
    let loss = device.filled((), |loss| {
        let gradient = D::slice_mut(&mut gradient);
        device.cross_entropy(
            classes.size(),
            D::values(&logits),
            labels,
            smoothing,
            &reduction,
            loss,
            gradient,
        )
    })?;
    let (logits_ghost, loss_ghost) = (logits.ghost(), loss.ghost());
    tape.add_backward_op(move |gradients| {
        let factor = take_gradient!(gradients, &loss_ghost, &device);
        let glogits = D::slice_mut(gradients.get_or_alloc_mut(&logits_ghost)?);
        device.scale_accumulate(D::slice(&factor), D::slice(&gradient), glogits)
    });
    Ok(loss.put_tape(tape))
}
