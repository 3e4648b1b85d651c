//! Two-dimensional convolution without bias.

use crate::{ImageShape, OpResult, backend::Backend, take_gradient, tape::Recording};
use dfdx::{
    shapes::{Dim, HasShape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use stompp_kernels::{ConvShape, Slices};

/// Convolves `x` (N, I, H, W) with `w` (O, I, K, K), giving (N, O, H', W') where `H' = (H + 2 padding - K) / stride + 1`.
///
/// Padding is with zeros. The gradient of `x` or of `w` is computed only if the tape of that tensor records.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// If the channels of `x` and `w` differ, the padded input is smaller than the kernel, or `stride` is 0.
pub fn conv2d<B, I, O, K, H, W, D, T>(
    x: Tensor<(B, I, H, W), f32, D, T>,
    w: Tensor<(O, I, K, K), f32, D, T>,
    stride: usize,
    padding: usize,
) -> OpResult<ImageShape<B, O>, D, T>
where
    B: Dim,
    I: Dim,
    O: Dim,
    K: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    let device = x.device().clone();
    conv2d_with(x, w, stride, padding, |shape, slices, x, w, y| {
        device.conv2d(shape, slices, x, w, y)
    })
}

/// As [`conv2d`], but `forward` computes the output from the values of `x` and `w`. Use it if more is known about the operands
/// and there is a faster way to the same result. The gradients are those of [`conv2d`].
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails, or the error of `forward`.
///
/// # Panics
/// As [`conv2d`].
pub fn conv2d_with<B, I, O, K, H, W, D, T>(
    x: Tensor<(B, I, H, W), f32, D, T>,
    w: Tensor<(O, I, K, K), f32, D, T>,
    stride: usize,
    padding: usize,
    forward: impl FnOnce(&ConvShape, Slices, D::Slice<'_>, D::Slice<'_>, D::SliceMut<'_>) -> Result<(), D::Err>,
) -> OpResult<ImageShape<B, O>, D, T>
where
    B: Dim,
    I: Dim,
    O: Dim,
    K: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (x, x_tape) = x.try_contiguous()?.split_tape();
    let (w, w_tape) = w.try_contiguous()?.split_tape();
    let shape = conv_shape(&x, &w, stride, padding);
    let device = x.device().clone();
    let out = (x.shape().0, w.shape().0, shape.out_height(), shape.out_width());
    let (x_wanted, w_wanted) = (x_tape.is_recording(), w_tape.is_recording());
    let mut tape = x_tape.merge(w_tape);
    let slices = tape.reduction().slices();
    let y = device.filled(out, |y| forward(&shape, slices, D::values(&x), D::values(&w), y))?;
    let (x_ghost, w_ghost, y_ghost) = (x.ghost(), w.ghost(), y.ghost());
    // Each gradient needs the other operand only.
    let (x, w) = (w_wanted.then_some(x), x_wanted.then_some(w));
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        if let Some(x) = &x {
            let gw = D::slice_mut(gradients.get_or_alloc_mut(&w_ghost)?);
            device.conv2d_weight_gradient(&shape, slices, D::values(x), D::slice(&gy), gw)?;
        }
        if let Some(w) = &w {
            let gx = D::slice_mut(gradients.get_or_alloc_mut(&x_ghost)?);
            device.conv2d_input_gradient(&shape, slices, D::values(w), D::slice(&gy), gx)?;
        }
        Ok(())
    });
    Ok(y.put_tape(tape))
}

/// The sizes of the convolution of `x` (N, I, H, W) with `w` (O, I, K, K).
///
/// # Panics
/// If the channels of `x` and `w` differ.
pub fn conv_shape<B, I, O, K, H, W, D>(
    x: &Tensor<(B, I, H, W), f32, D>,
    w: &Tensor<(O, I, K, K), f32, D>,
    stride: usize,
    padding: usize,
) -> ConvShape
where
    B: Dim,
    I: Dim,
    O: Dim,
    K: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
{
    let (batch, in_channels, height, width) = *x.shape();
    let (out_channels, w_channels, kernel, _) = *w.shape();
    assert_eq!(
        in_channels, w_channels,
        "the input channels of the weight and of the input differ"
    );
    ConvShape {
        batch: batch.size(),
        in_channels: in_channels.size(),
        in_height: height.size(),
        in_width: width.size(),
        out_channels: out_channels.size(),
        kernel: kernel.size(),
        stride,
        padding,
    }
}
