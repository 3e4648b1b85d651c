//! The fully connected layer's product.

use crate::{
    OpResult,
    backend::{Backend, LinearGradients, LinearShape},
    put_gradient, take_gradient,
    tape::Recording,
};
use dfdx::{
    shapes::{Dim, HasShape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};

/// `x wᵀ + b`: `x` (N, I), `w` (O, I), `b` (O,) give (N, O).
///
/// The gradients of weight and bias are computed if the tape of `w` records, the gradient of `x` if the tape of `x`
/// records.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// If the sizes do not match.
pub fn linear<B, I, O, D, T>(
    x: Tensor<(B, I), f32, D, T>,
    w: Tensor<(O, I), f32, D, T>,
    b: Tensor<(O,), f32, D>,
) -> OpResult<(B, O), D, T>
where
    B: Dim,
    I: Dim,
    O: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (x, x_tape) = x.try_contiguous()?.split_tape();
    let (w, w_tape) = w.try_contiguous()?.split_tape();
    assert_eq!(
        x.shape().1,
        w.shape().1,
        "the features of the weight and of the input differ"
    );
    let device = x.device().clone();
    let ((batch, inputs), (outputs, _)) = (*x.shape(), *w.shape());
    let shape = LinearShape {
        batch: batch.size(),
        inputs: inputs.size(),
        outputs: outputs.size(),
    };
    let slices = w_tape.reduction().slices();
    let y = device.filled((batch, outputs), |y| {
        device.linear(&shape, slices, D::values(&x), D::values(&w), D::values(&b), y)
    })?;

    let (x_wanted, w_wanted) = (x_tape.is_recording(), w_tape.is_recording());
    let mut tape = x_tape.merge(w_tape);
    let y_ghost = y.ghost();
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        let mut gx = if x_wanted {
            Some(take_gradient!(gradients, &x, &device))
        } else {
            None
        };
        let mut gw = take_gradient!(gradients, &w, &device);
        let mut gb = take_gradient!(gradients, &b, &device);
        let wanted = LinearGradients {
            input: gx.as_mut().map(D::slice_mut),
            weight: D::slice_mut(&mut gw),
            bias: D::slice_mut(&mut gb),
        };
        device.linear_backward(&shape, slices, D::values(&x), D::values(&w), D::slice(&gy), wanted)?;
        if let Some(gx) = gx {
            put_gradient!(gradients, &x, gx);
        }
        if w_wanted {
            put_gradient!(gradients, &w, gw);
            put_gradient!(gradients, &b, gb);
        }
        Ok(())
    });
    Ok(y.put_tape(tape))
}
