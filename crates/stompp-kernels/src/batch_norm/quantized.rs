//! Batch norm followed by a quantizer, in one pass over memory.
//!
//! The normalized values exist only in registers: the forward pass does not write them and the backward pass computes them again. All
//! results are bitwise equal to those of the separate kernels.

use super::sums::Rows;

use super::backward::{GradientSums, Input, Upstream, backward, backward_sums};
use super::rows_per_piece;
use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::for_each_piece_of;
use crate::quantize::{FreezeState, GradientFilter, Surrogate, Value, pass, quantize};
use crate::simd::{Kernel, Lanes, Map, Simd, load};
use crate::slices::Slices;

/// The parameters of a batch norm, `(x - mean) * inv_std * scale + shift`. Each slice has one entry per channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormParams<'a> {
    /// Mean of the channel.
    pub mean: &'a [f32],
    /// One over the standard deviation of the channel.
    pub inv_std: &'a [f32],
    /// Learned factor.
    pub scale: &'a [f32],
    /// Learned offset.
    pub shift: &'a [f32],
}

/// The [`BatchNormParams`] of one channel.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    mean: f32,
    factor: f32,
    shift: f32,
}

impl Value for Channel {
    #[inline(always)]
    unsafe fn value<L: Lanes>(self, _: usize, x: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            let centred = L::sub(x, L::splat(self.mean));
            L::mul_add(centred, L::splat(self.factor), L::splat(self.shift))
        }
    }
}

impl Map<1> for Channel {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [x]: [L::Vector; 1], _: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { self.value::<L>(at, x) }
    }
}

/// The sum of a normalized row and a row of the residual.
#[derive(Clone, Copy)]
struct Sum<'a> {
    channel: Channel,
    summand: &'a [f32],
}

impl Value for Sum<'_> {
    #[inline(always)]
    unsafe fn value<L: Lanes>(self, at: usize, x: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { L::add(self.channel.value::<L>(at, x), load::<L>(self.summand, at)) }
    }
}

impl BatchNormParams<'_> {
    #[track_caller]
    pub(super) fn check(&self, s: &ChannelShape) {
        let slices = [
            ("mean", self.mean),
            ("inv_std", self.inv_std),
            ("scale", self.scale),
            ("shift", self.shift),
        ];
        slices
            .into_iter()
            .for_each(|(what, slice)| check::length(what, slice.len(), s.channels));
    }

    #[inline(always)]
    pub(super) fn channel(&self, c: usize) -> Channel {
        Channel {
            mean: self.mean[c],
            factor: self.inv_std[c] * self.scale[c],
            shift: self.shift[c],
        }
    }
}

/// Computes `out = quantize(batch_norm(x) + residual)`: [`batch_norm_forward`](super::batch_norm_forward), then
/// [`add_forward`](crate::add_forward) if there is a `residual`, then [`quantize_forward`](crate::quantize_forward) with samples of
/// `channels * inner` entries.
///
/// # Panics
///
/// Panics if a length does not fit `s`, or a partial mask has not `channels * inner / 64` words, rounded up.
pub fn batch_norm_quantize_forward(
    s: &ChannelShape,
    x: &[f32],
    norm: BatchNormParams,
    residual: Option<&[f32]>,
    mask: FreezeState<&[u64]>,
    out: &mut [f32],
) {
    norm.check(s);
    check_mask(s, mask);
    check::length("x", x.len(), s.len());
    check::length("out", out.len(), s.len());
    check_residual(s, residual);
    if s.is_empty() {
        return;
    }
    let simd = Simd::current();
    for_each_piece_of(rows_per_piece(s) * s.inner, out, |start, out| {
        let piece = start..start + out.len();
        simd.run(Forward {
            s,
            norm,
            mask,
            first_row: start / s.inner,
            x: &x[piece.clone()],
            residual: residual.map(|residual| &residual[piece]),
            out,
        });
    });
}

/// Computes rows of the tensor, starting at row `first_row`.
struct Forward<'a> {
    s: &'a ChannelShape,
    norm: BatchNormParams<'a>,
    mask: FreezeState<&'a [u64]>,
    first_row: usize,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let inner = self.s.inner;
        for (row, out) in self.out.chunks_mut(inner).enumerate() {
            let x = &self.x[row * inner..][..inner];
            let number = (self.first_row + row) % self.s.channels;
            let (first, channel) = (number * inner, self.norm.channel(number));
            // SAFETY: the caller guarantees the instructions.
            unsafe {
                match self.residual {
                    None => quantize::<L>(self.mask, first, channel, x, out),
                    Some(residual) => {
                        let summand = &residual[row * inner..][..inner];
                        quantize::<L>(self.mask, first, Sum { channel, summand }, x, out);
                    }
                }
            }
        }
    }
}

/// The gradients that [`batch_norm_quantize_backward`] adds to.
#[derive(Debug)]
pub struct BatchNormQuantizeGradients<'a> {
    /// Gradient of the residual; `None` if there is no residual or its gradient is not needed.
    pub residual: Option<&'a mut [f32]>,
    /// Gradient of the scale.
    pub scale: &'a mut [f32],
    /// Gradient of the shift.
    pub shift: &'a mut [f32],
}

/// Computes the gradients of [`batch_norm_quantize_forward`] in training: [`quantize_backward`](crate::quantize_backward), whose result
/// is also the gradient of the residual, then [`batch_norm_backward`](super::batch_norm_backward). Replaces the input `x` by its gradient,
/// which needs no memory of its own: nothing else reads the input of such a batch norm. If `x` is a part of a larger batch, `sums` has the
/// sums of that batch.
///
/// # Panics
///
/// Panics as [`batch_norm_quantize_forward`] does.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_quantize_backward(
    s: &ChannelShape,
    sums: Option<GradientSums<'_>>,
    x: &mut [f32],
    norm: BatchNormParams,
    residual: Option<&[f32]>,
    mask: FreezeState<&[u64]>,
    surrogate: Surrogate,
    gout: &[f32],
    gradients: BatchNormQuantizeGradients,
) {
    let upstream = QuantizerGradient::new(s, norm, residual, (mask, surrogate), gout);
    if let GradientFilter::None = upstream.gate {
        x.fill(0.0);
        return;
    }
    let BatchNormQuantizeGradients {
        residual: gresidual,
        scale,
        shift,
    } = gradients;
    backward(s, sums, Input::Replace(x), norm, upstream, gresidual, scale, shift);
}

/// Computes the sums for [`GradientSums`], where `gy` is the gradient that the quantizer passes. The sums of the slices are added in pairs
/// ([`Slices::total`]).
///
/// # Panics
///
/// Panics as [`batch_norm_quantize_forward`] does.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_quantize_backward_sums(
    s: &ChannelShape,
    slices: Slices,
    x: &[f32],
    norm: BatchNormParams,
    residual: Option<&[f32]>,
    mask: FreezeState<&[u64]>,
    surrogate: Surrogate,
    gout: &[f32],
    sums: &mut [[f64; 2]],
) {
    let upstream = QuantizerGradient::new(s, norm, residual, (mask, surrogate), gout);
    if let GradientFilter::None = upstream.gate {
        sums.fill([0.0; 2]);
        return;
    }
    norm.check(s);
    backward_sums(s, slices, x, norm.mean, upstream, sums);
}

/// The gradient that the quantizer passes.
#[derive(Clone, Copy)]
struct QuantizerGradient<'a> {
    s: &'a ChannelShape,
    norm: BatchNormParams<'a>,
    residual: Option<&'a [f32]>,
    gate: GradientFilter<'a>,
    g: &'a [f32],
}

impl<'a> QuantizerGradient<'a> {
    #[track_caller]
    fn new(
        s: &'a ChannelShape,
        norm: BatchNormParams<'a>,
        residual: Option<&'a [f32]>,
        (mask, surrogate): (FreezeState<&'a [u64]>, Surrogate),
        g: &'a [f32],
    ) -> Self {
        check_mask(s, mask);
        check_residual(s, residual);
        check::length("gout", g.len(), s.len());
        Self {
            s,
            norm,
            residual,
            gate: GradientFilter::new(mask, surrogate),
            g,
        }
    }
}

impl Upstream for QuantizerGradient<'_> {
    #[inline(always)]
    unsafe fn row<'a, L: Lanes>(&'a self, number: usize, image: usize, x: &[f32], buffer: &'a mut [f32]) -> &'a [f32] {
        let row = |of| Rows::new(self.s, of, number).row(image);
        let (first, channel) = (number * self.s.inner, self.norm.channel(number));
        let g = row(self.g);
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            match self.residual {
                None => pass::<L, false>(self.gate, first, channel, x, g, buffer),
                Some(residual) => {
                    let summand = row(residual);
                    pass::<L, false>(self.gate, first, Sum { channel, summand }, x, g, buffer);
                }
            }
        }
        buffer
    }
}

#[track_caller]
fn check_mask(s: &ChannelShape, mask: FreezeState<&[u64]>) {
    if let FreezeState::Freezing(words) = mask {
        check::length("mask", words.len(), (s.channels * s.inner).div_ceil(64));
    }
}

#[track_caller]
fn check_residual(s: &ChannelShape, residual: Option<&[f32]>) {
    if let Some(residual) = residual {
        check::length("residual", residual.len(), s.len());
    }
}
