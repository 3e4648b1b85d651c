//! Ops that treat every entry alike.

use crate::{OpResult, backend::Backend, take_gradient, tape::Recording};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};

/// `max(x, 0)`; the gradient passes where `x > 0`.
///
/// # Errors
/// The device's.
pub fn relu<S, D, T>(x: Tensor<S, f32, D, T>) -> OpResult<S, D, T>
where
    S: Shape,
    D: Backend,
    T: Recording<D>,
{
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let device = x.device().clone();
    let y = device.relu(&x)?;
    let y_ghost = y.ghost();
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        device.relu_backward(&x, &gy, gradients.get_or_alloc_mut(&x)?)
    });
    Ok(y.put_tape(tape))
}

/// `a + b`, the end of a residual block. Either side may be off the tape; the gradient passes unchanged to the others.
///
/// # Errors
/// The device's.
///
/// # Panics
/// If the shapes differ.
pub fn add<S, D, T>(a: Tensor<S, f32, D, T>, b: Tensor<S, f32, D, T>) -> OpResult<S, D, T>
where
    S: Shape,
    D: Backend,
    T: Recording<D>,
{
    let (a, a_tape) = a.try_contiguous()?.split_tape();
    let (b, b_tape) = b.try_contiguous()?.split_tape();
    assert_eq!(a.shape(), b.shape(), "the summands' shapes differ");
    let device = a.device().clone();
    let y = device.add(&a, &b)?;
    let (a_wanted, b_wanted) = (a_tape.is_recording(), b_tape.is_recording());
    let mut tape = a_tape.merge(b_tape);
    let (a_ghost, b_ghost, y_ghost) = (a.ghost(), b.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        if a_wanted {
            device.accumulate(&gy, gradients.get_or_alloc_mut(&a_ghost)?)?;
        }
        if b_wanted {
            device.accumulate(&gy, gradients.get_or_alloc_mut(&b_ghost)?)?;
        }
        Ok(())
    });
    Ok(y.put_tape(tape))
}
