//! Batch norm, shortcut and quantizer as one op: what stands between two binary convolutions.

use crate::{BinaryBackend, FreezeState, Surrogate};
use dfdx::{
    shapes::{Dim, HasShape},
    tensor::{PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use stompp_nn::{
    BatchNorm2d, OpResult, Recording,
    backend::{BatchMoments, Buffer},
    ops::channel_shape,
    put_gradient, take_gradient,
};

/// What the fused op reads besides its input: a batch norm with the moments of this batch, and the quantizer's state.
#[derive(Debug)]
pub struct NormQuantize<'a, C: Dim, D: BinaryBackend> {
    /// Moments of the input.
    pub moments: &'a BatchMoments<D>,
    /// Scale, shape (C,).
    pub scale: &'a Tensor<(C,), f32, D>,
    /// Shift, shape (C,).
    pub shift: &'a Tensor<(C,), f32, D>,
    /// Which entries of a sample are frozen.
    pub state: &'a FreezeState,
}

/// What the fused op's backward pass adds to.
#[derive(Debug)]
pub struct NormQuantizeGradients<'a, D: BinaryBackend> {
    /// Gradient of the input; `None` if nobody wants it.
    pub input: Option<&'a mut Buffer<D>>,
    /// Gradient of the residual; `None` if there is none or nobody wants it.
    pub residual: Option<&'a mut Buffer<D>>,
    /// Gradient of the scale, shape (C,).
    pub scale: &'a mut Buffer<D>,
    /// Gradient of the shift, shape (C,).
    pub shift: &'a mut Buffer<D>,
}

/// `quantize(norm(x) + residual)` of a training batch: [`stompp_nn::ops::batch_norm`], [`stompp_nn::ops::add`] if there is a
/// residual, and [`quantize`](crate::quantize) in one pass over memory, the same to the bit. The sum exists in registers only
/// and is computed again in the backward pass.
///
/// `x` and `residual` are (N, C, H, W); scale and shift are on the tape `parameters`. The running statistics of `norm` follow
/// the batch. Where the quantizer passes no gradient at all, the output is off the tape.
///
/// # Errors
/// The device's.
///
/// # Panics
/// If the residual's shape is not the input's, or a partial mask has not C H W entries.
pub fn batch_norm_quantize<B, C, H, W, D, T>(
    x: Tensor<(B, C, H, W), f32, D, T>,
    norm: &mut BatchNorm2d<C, f32, D>,
    parameters: T,
    residual: Option<Tensor<(B, C, H, W), f32, D, T>>,
    state: &FreezeState,
    surrogate: Surrogate,
) -> OpResult<(B, C, H, W), D, T>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: BinaryBackend,
    T: Recording<D>,
{
    let (x, x_tape) = x.try_contiguous()?.split_tape();
    let (residual, residual_tape) = match residual {
        Some(residual) => {
            let (residual, tape) = residual.try_contiguous()?.split_tape();
            assert_eq!(residual.shape(), x.shape(), "the summands' shapes differ");
            (Some(residual), tape)
        }
        None => (None, T::default()),
    };
    let device = x.device().clone();
    let shape = channel_shape(&x);
    let moments = norm.follow(&x)?;
    let (scale, shift) = (norm.scale.clone(), norm.shift.clone());
    let of = NormQuantize {
        moments: &moments,
        scale: &scale,
        shift: &shift,
        state,
    };
    let out = device.batch_norm_quantize(&shape, &of, &x, residual.as_ref())?;
    if state.severs(surrogate) {
        return Ok(out.put_tape(T::default()));
    }

    let (x_wanted, residual_wanted) = (x_tape.is_recording(), residual_tape.is_recording());
    let affine_wanted = parameters.is_recording();
    let mut tape = x_tape.merge(residual_tape).merge(parameters);
    let out_ghost = out.ghost();
    let state = state.clone();
    tape.add_backward_op(move |gradients| {
        let gout = take_gradient!(gradients, &out_ghost, &device);
        let mut gx = if x_wanted {
            Some(take_gradient!(gradients, &x, &device))
        } else {
            None
        };
        let mut gresidual = match &residual {
            Some(residual) if residual_wanted => Some(take_gradient!(gradients, residual, &device)),
            _ => None,
        };
        let mut gscale = take_gradient!(gradients, &scale, &device);
        let mut gshift = take_gradient!(gradients, &shift, &device);
        let of = NormQuantize {
            moments: &moments,
            scale: &scale,
            shift: &shift,
            state: &state,
        };
        let wanted = NormQuantizeGradients {
            input: gx.as_mut(),
            residual: gresidual.as_mut(),
            scale: &mut gscale,
            shift: &mut gshift,
        };
        device.batch_norm_quantize_backward(&shape, &of, surrogate, &x, residual.as_ref(), &gout, wanted)?;
        if let Some(gx) = gx {
            put_gradient!(gradients, &x, gx);
        }
        if let (Some(residual), Some(gresidual)) = (&residual, gresidual) {
            put_gradient!(gradients, residual, gresidual);
        }
        if affine_wanted {
            put_gradient!(gradients, &scale, gscale);
            put_gradient!(gradients, &shift, gshift);
        }
        Ok(())
    });
    Ok(out.put_tape(tape))
}
