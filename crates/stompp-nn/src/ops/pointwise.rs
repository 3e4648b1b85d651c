//! Elementwise ops.

use crate::{OpResult, backend::Backend, take_gradient, tape::Recording};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};

/// `max(x, 0)`; the gradient passes where `x > 0`.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
pub fn relu<S, D, T>(x: Tensor<S, f32, D, T>) -> OpResult<S, D, T>
where
    S: Shape,
    D: Backend,
    T: Recording<D>,
{
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let device = x.device().clone();
    let y = device.filled(*x.shape(), |y| device.relu(D::values(&x), y))?;
    // The output is positive where the input is. The next op keeps it anyway; the input need not be kept, too.
    let (x_ghost, kept) = (x.ghost(), y.clone());
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &kept, &device);
        let gx = D::slice_mut(gradients.get_or_alloc_mut(&x_ghost)?);
        device.relu_backward(D::values(&kept), D::slice(&gy), gx)
    });
    Ok(y.put_tape(tape))
}

/// `a + b`, the end of a residual block. Either side may be off the tape; the gradient passes unchanged to each side on it.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
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
    assert_eq!(a.shape(), b.shape(), "the shapes of the summands differ");
    let device = a.device().clone();
    let y = device.filled(*a.shape(), |y| device.add(D::values(&a), D::values(&b), y))?;
    let (a_wanted, b_wanted) = (a_tape.is_recording(), b_tape.is_recording());
    let mut tape = a_tape.merge(b_tape);
    let (a_ghost, b_ghost, y_ghost) = (a.ghost(), b.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        if a_wanted {
            device.accumulate(D::slice(&gy), D::slice_mut(gradients.get_or_alloc_mut(&a_ghost)?))?;
        }
        if b_wanted {
            device.accumulate(D::slice(&gy), D::slice_mut(gradients.get_or_alloc_mut(&b_ghost)?))?;
        }
        Ok(())
    });
    Ok(y.put_tape(tape))
}
