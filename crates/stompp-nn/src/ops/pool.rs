//! Pooling: maximum and mean over windows, and the head's global average.

use super::batch_norm::channel_shape;
use crate::{ImageShape, OpResult, backend::Backend, take_gradient, tape::Recording};
use dfdx::{
    shapes::{Dim, HasShape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use stompp_kernels::PoolShape;

/// Mean over height and width: (N, C, H, W) gives (N, C). Each input gets its output's gradient divided by H W.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
pub fn global_average_pool<B, C, H, W, D, T>(x: Tensor<(B, C, H, W), f32, D, T>) -> OpResult<(B, C), D, T>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let device = x.device().clone();
    let shape = channel_shape(&x);
    let (batch, channels, ..) = *x.shape();
    let y = device.filled((batch, channels), |y| {
        device.global_average_pool(&shape, D::values(&x), y)
    })?;
    let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        let gx = D::slice_mut(gradients.get_or_alloc_mut(&x_ghost)?);
        device.global_average_pool_backward(&shape, D::slice(&gy), gx)
    });
    Ok(y.put_tape(tape))
}

/// Maximum over `kernel` x `kernel` windows: (N, C, H, W) gives (N, C, H', W') with the convolution's output size.
///
/// Padding counts as minus infinity. The gradient goes to the first maximum of each window in row-major order, as in
/// PyTorch.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// If the padded input is smaller than the window, or `stride` is 0.
pub fn max_pool<B, C, H, W, D, T>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> OpResult<ImageShape<B, C>, D, T>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let device = x.device().clone();
    let shape = pool_shape(&x, kernel, stride, padding);
    let (batch, channels, ..) = *x.shape();
    let mut max_indices = None;
    let y = device.filled((batch, channels, shape.out_height(), shape.out_width()), |y| {
        max_indices = Some(device.max_pool(&shape, D::values(&x), y)?);
        Ok(())
    })?;
    let max_indices = max_indices.expect("the pool has run");
    let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        let gx = D::slice_mut(gradients.get_or_alloc_mut(&x_ghost)?);
        device.max_pool_backward(&shape, &max_indices, D::slice(&gy), gx)
    });
    Ok(y.put_tape(tape))
}

/// Mean over `kernel` x `kernel` windows without padding: (N, C, H, W) gives (N, C, H', W'), as [`max_pool`].
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
///
/// # Panics
/// If the input is smaller than the window, or `stride` is 0.
pub fn average_pool<B, C, H, W, D, T>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    kernel: usize,
    stride: usize,
) -> OpResult<ImageShape<B, C>, D, T>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (x, mut tape) = x.try_contiguous()?.split_tape();
    let device = x.device().clone();
    let shape = pool_shape(&x, kernel, stride, 0);
    let (batch, channels, ..) = *x.shape();
    let y = device.filled((batch, channels, shape.out_height(), shape.out_width()), |y| {
        device.average_pool(&shape, D::values(&x), y)
    })?;
    let (x_ghost, y_ghost) = (x.ghost(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let gy = take_gradient!(gradients, &y_ghost, &device);
        let gx = D::slice_mut(gradients.get_or_alloc_mut(&x_ghost)?);
        device.average_pool_backward(&shape, D::slice(&gy), gx)
    });
    Ok(y.put_tape(tape))
}

fn pool_shape<B, C, H, W, D>(
    x: &Tensor<(B, C, H, W), f32, D>,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> PoolShape
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
{
    let (batch, channels, height, width) = *x.shape();
    PoolShape {
        batch: batch.size(),
        channels: channels.size(),
        in_height: height.size(),
        in_width: width.size(),
        kernel,
        stride,
        padding,
    }
}
