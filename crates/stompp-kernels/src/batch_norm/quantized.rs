//! Batch norm with a quantizer behind it, in one pass over memory.
//!
//! The normalized values exist only in registers: the forward pass does not write them and the backward pass computes
//! them again. All values have the same bits as those of the two kernels one after the other.

use super::sums::Rows;
use super::{backward, rows_per_piece};
use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::for_each_piece_of;
use crate::quantize::{FreezeMask, Gate, Surrogate, Value, pass, quantize};
use crate::simd::{Kernel, Lanes, Map, Simd};

/// What a batch norm does to each channel: `(x - mean) * inv_std * scale + shift`. All of the channels' length.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Mean of the channel.
    pub mean: &'a [f32],
    /// One over its standard deviation.
    pub inv_std: &'a [f32],
    /// Learned factor.
    pub scale: &'a [f32],
    /// Learned offset.
    pub shift: &'a [f32],
}

/// A [`Normalization`] of one channel.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    mean: f32,
    factor: f32,
    shift: f32,
}

impl Value for Channel {
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, x: L::Vector) -> L::Vector {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let centred = L::sub(x, L::splat(self.mean));
            L::mul_add(centred, L::splat(self.factor), L::splat(self.shift))
        }
    }
}

impl Map<1> for Channel {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, _: usize, [x]: [L::Vector; 1], _: L::Vector) -> L::Vector {
        // SAFETY: the caller vouches for the instructions.
        unsafe { self.of::<L>(x) }
    }
}

impl Normalization<'_> {
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

/// `out = quantize(batch norm of x)`: [`batch_norm_forward`](super::batch_norm_forward), then
/// [`quantize_forward`](crate::quantize_forward) with samples of `channels * inner` entries.
///
/// # Panics
///
/// If a length does not fit `s`, or a partial mask has not `channels * inner / 64` words, rounded up.
pub fn batch_norm_quantize_forward(
    s: &ChannelShape,
    x: &[f32],
    norm: Normalization,
    mask: FreezeMask,
    out: &mut [f32],
) {
    norm.check(s);
    check_mask(s, mask);
    check::length("x", x.len(), s.len());
    check::length("out", out.len(), s.len());
    if s.is_empty() {
        return;
    }
    let simd = Simd::current();
    for_each_piece_of(rows_per_piece(s) * s.inner, out, |start, out| {
        let x = &x[start..][..out.len()];
        simd.run(Forward {
            s,
            norm,
            mask,
            first_row: start / s.inner,
            x,
            out,
        });
    });
}

/// Rows of channels, from row `first_row` of the tensor on.
struct Forward<'a> {
    s: &'a ChannelShape,
    norm: Normalization<'a>,
    mask: FreezeMask<'a>,
    first_row: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let inner = self.s.inner;
        for (row, (x, out)) in (self.first_row..).zip(self.x.chunks(inner).zip(self.out.chunks_mut(inner))) {
            let number = row % self.s.channels;
            // SAFETY: the caller vouches for the instructions.
            unsafe { quantize::<L>(self.mask, number * inner, self.norm.channel(number), x, out) };
        }
    }
}

/// The gradients of [`batch_norm_quantize_forward`] in training: [`quantize_backward`](crate::quantize_backward), then
/// [`batch_norm_backward`](super::batch_norm_backward).
///
/// # Panics
///
/// As [`batch_norm_quantize_forward`].
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_quantize_backward(
    s: &ChannelShape,
    x: &[f32],
    norm: Normalization,
    mask: FreezeMask,
    surrogate: Surrogate,
    gout: &[f32],
    gx: Option<&mut [f32]>,
    gscale: &mut [f32],
    gshift: &mut [f32],
) {
    check_mask(s, mask);
    let gate = Gate::new(mask, surrogate);
    if let Gate::Shut = gate {
        return;
    }
    let simd = Simd::current();
    let gate = |number: usize, x: Rows, g: Rows, gated: &mut [f32]| {
        let channel = norm.channel(number);
        simd.run(Gated {
            gate,
            first: number * s.inner,
            channel,
            x,
            g,
            gated,
        });
    };
    backward(s, x, norm, gout, gx, gscale, gshift, Some(gate));
}

/// What the quantizer passes of the gradient of one channel, image by image.
struct Gated<'a> {
    gate: Gate<'a>,
    /// The mask's entry of the first element.
    first: usize,
    channel: Channel,
    x: Rows<'a>,
    g: Rows<'a>,
    gated: &'a mut [f32],
}

impl Kernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for (image, gated) in self.gated.chunks_mut(self.x.inner).enumerate() {
            let (x, g) = (self.x.row(image), self.g.row(image));
            // SAFETY: the caller vouches for the instructions.
            unsafe { pass::<L, false>(self.gate, self.first, self.channel, x, g, gated) };
        }
    }
}

#[track_caller]
fn check_mask(s: &ChannelShape, mask: FreezeMask) {
    if let FreezeMask::Partial(words) = mask {
        check::length("mask", words.len(), (s.channels * s.inner).div_ceil(64));
    }
}
