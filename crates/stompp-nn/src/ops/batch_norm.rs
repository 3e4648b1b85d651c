//! Batch normalisation over (N, H, W), per channel.

use crate::{
    BatchReduction, OpResult, Recomputable, Recompute,
    backend::{Backend, BatchMoments, BatchNormGradients},
    put_gradient, take_gradient,
    tape::Recording,
};
use dfdx::{
    shapes::{Dim, HasShape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use std::rc::Rc;
use stompp_kernels::ChannelShape;

/// Running statistics that each training batch updates.
#[derive(Debug)]
pub struct RunningStatistics<'a, C: Dim, D: Backend> {
    /// Running mean, shape (C,).
    pub mean: &'a mut Tensor<(C,), f32, D>,
    /// Running unbiased variance, shape (C,).
    pub variance: &'a mut Tensor<(C,), f32, D>,
    /// Share of the newest batch: `r = (1 - momentum) r + momentum s`.
    pub momentum: f32,
}

impl<C: Dim, D: Backend> RunningStatistics<'_, C, D> {
    /// Returns the moments of the training batch, of which this process has `x`, and updates the running statistics.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn update(
        self,
        device: &D,
        shape: &ChannelShape,
        eps: f32,
        reduction: &BatchReduction,
        x: D::Slice<'_>,
    ) -> Result<BatchMoments<D>, D::Err> {
        let moments = device.batch_moments(shape, eps, reduction, x)?;
        let shape = &ChannelShape {
            batch: reduction.whole_batch(shape.batch),
            ..*shape
        };
        device.modify(self.mean, |mean| {
            device.update_running_mean(shape, self.momentum, &moments, mean)
        })?;
        device.modify(self.variance, |variance| {
            device.update_running_variance(shape, self.momentum, &moments, variance)
        })?;
        Ok(moments)
    }
}

/// `(x - mean) / sqrt(variance + eps) * scale + shift` with the moments of this batch; moves `running` towards them.
///
/// `x` is (N, C, H, W), `scale` and `shift` are (C,). It normalises by the biased variance. The gradient includes the
/// derivatives of the moments. The gradients of scale and shift are computed if the tape of `scale` records, the gradient of
/// `x` if the tape of `x` records.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
pub fn batch_norm<B, C, H, W, D, T>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    scale: Tensor<(C,), f32, D, T>,
    shift: Tensor<(C,), f32, D>,
    eps: f32,
    running: RunningStatistics<'_, C, D>,
) -> OpResult<(B, C, H, W), D, T>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    Ok(batch_norm_recomputable(x, scale, shift, eps, running)?.0)
}

/// What the backward pass of a batch norm reads.
#[derive(Debug)]
struct NormState<B: Dim, C: Dim, H: Dim, W: Dim, D: Backend> {
    x: Tensor<(B, C, H, W), f32, D>,
    shape: ChannelShape,
    moments: BatchMoments<D>,
    scale: Tensor<(C,), f32, D>,
    shift: Tensor<(C,), f32, D>,
}

impl<B: Dim, C: Dim, H: Dim, W: Dim, D: Backend> Recompute<D> for NormState<B, C, H, W, D> {
    fn entries(&self) -> usize {
        self.shape.len()
    }

    fn recompute(&self, device: &D, out: D::SliceMut<'_>) -> Result<(), D::Err> {
        let (scale, shift) = (D::values(&self.scale), D::values(&self.shift));
        device.batch_norm(&self.shape, &self.moments, D::values(&self.x), scale, shift, out)
    }
}

/// As [`batch_norm`]. If the result is on a tape, also returns a way to compute its values again in the backward pass, from what this op
/// keeps.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
#[allow(clippy::type_complexity)] // one dimension a letter, as everywhere
pub fn batch_norm_recomputable<B, C, H, W, D, T>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    scale: Tensor<(C,), f32, D, T>,
    shift: Tensor<(C,), f32, D>,
    eps: f32,
    running: RunningStatistics<'_, C, D>,
) -> Result<Recomputable<(B, C, H, W), D, T>, D::Err>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    let (x, x_tape) = x.try_contiguous()?.split_tape();
    let (scale, affine_tape) = scale.split_tape();
    let device = x.device().clone();
    let shape = channel_shape(&x);
    let reduction = affine_tape.reduction().of_batch_norms();
    let moments = running.update(&device, &shape, eps, &reduction, D::values(&x))?;
    let state = Rc::new(NormState {
        x,
        shape,
        moments,
        scale,
        shift,
    });
    let y = device.filled(*state.x.shape(), |y| state.recompute(&device, y))?;

    let (x_wanted, affine_wanted) = (x_tape.is_recording(), affine_tape.is_recording());
    let mut tape = x_tape.merge(affine_tape);
    if !tape.is_recording() {
        return Ok((y.put_tape(tape), None));
    }
    let y_ghost = y.ghost();
    let recompute: Rc<dyn Recompute<D>> = state.clone();
    tape.add_backward_op(move |gradients| {
        let NormState {
            x,
            moments,
            scale,
            shift,
            ..
        } = &*state;
        let gy = take_gradient!(gradients, &y_ghost, &device);
        let mut gx = if x_wanted {
            Some(take_gradient!(gradients, x, &device))
        } else {
            None
        };
        let mut gscale = take_gradient!(gradients, scale, &device);
        let mut gshift = take_gradient!(gradients, shift, &device);
        let wanted = BatchNormGradients {
            input: gx.as_mut().map(D::slice_mut),
            scale: D::slice_mut(&mut gscale),
            shift: D::slice_mut(&mut gshift),
        };
        let (x_values, scale_values) = (D::values(x), D::values(scale));
        device.batch_norm_backward(
            &shape,
            &reduction,
            moments,
            x_values,
            scale_values,
            D::slice(&gy),
            wanted,
        )?;
        if let Some(gx) = gx {
            put_gradient!(gradients, x, gx);
        }
        if affine_wanted {
            put_gradient!(gradients, scale, gscale);
            put_gradient!(gradients, shift, gshift);
        }
        Ok(())
    });
    Ok((y.put_tape(tape), Some(recompute)))
}

/// Batch normalisation by running statistics, for evaluation: an affine map per channel, off the tape.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel launch fails.
pub fn batch_norm_running<B, C, H, W, D>(
    x: Tensor<(B, C, H, W), f32, D>,
    mean: &Tensor<(C,), f32, D>,
    variance: &Tensor<(C,), f32, D>,
    scale: &Tensor<(C,), f32, D>,
    shift: &Tensor<(C,), f32, D>,
    eps: f32,
) -> OpResult<(B, C, H, W), D>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
{
    let x = x.try_contiguous()?;
    let device = x.device().clone();
    let moments = device.running_moments(eps, D::values(mean), D::values(variance))?;
    device.filled(*x.shape(), |y| {
        device.batch_norm(
            &channel_shape(&x),
            &moments,
            D::values(&x),
            D::values(scale),
            D::values(shift),
            y,
        )
    })
}

/// The sizes of `x` (N, C, H, W): batch, channels, and entries inside a channel.
pub(super) fn channel_shape<B: Dim, C: Dim, H: Dim, W: Dim, D: Backend>(
    x: &Tensor<(B, C, H, W), f32, D>,
) -> ChannelShape {
    let (batch, channels, height, width) = *x.shape();
    ChannelShape {
        batch: batch.size(),
        channels: channels.size(),
        inner: height.size() * width.size(),
    }
}
