//! The training loss.

use crate::{OpResult, backend::Backend, take_gradient, tape::Recording};
use dfdx::{
    shapes::Dim,
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};

/// Mean cross-entropy of `logits` (N, classes) against class indices `labels` (N), in nats.
///
/// The gradient is `(softmax(logits) - onehot(labels)) / N`, times the loss's own.
///
/// # Errors
/// The device's.
///
/// # Panics
/// If there are not N labels, or one is not below the number of classes.
pub fn cross_entropy<B, C, D, T>(logits: Tensor<(B, C), f32, D, T>, labels: &[usize]) -> OpResult<(), D, T>
where
    B: Dim,
    C: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (logits, mut tape) = logits.try_contiguous()?.split_tape();
    let device = logits.device().clone();
    let (loss, gradient) = device.cross_entropy(&logits, labels)?;
    let (logits_ghost, loss_ghost) = (logits.ghost(), loss.ghost());
    tape.add_backward_op(move |gradients| {
        let factor = take_gradient!(gradients, &loss_ghost, &device);
        device.scale_accumulate(&factor, &gradient, gradients.get_or_alloc_mut(&logits_ghost)?)
    });
    Ok(loss.put_tape(tape))
}
