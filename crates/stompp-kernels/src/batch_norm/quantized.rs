//! Batch norm with a quantizer behind it, in one pass over memory.
//!
//! The normalized values exist only a few at a time, in the nearest cache: the forward pass does not write them and the
//! backward pass computes them again. All values have the same bits as those of the two kernels one after the other.

use super::{backward, rows_per_piece};
use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::for_each_piece_of;
use crate::quantize::{FreezeMask, Gate, Surrogate, commit};
use crate::simd::Simd;

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

impl Channel {
    #[inline(always)]
    pub(super) fn apply(self, x: f32) -> f32 {
        (x - self.mean) * self.factor + self.shift
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
        simd.vectorize(
            #[inline(always)]
            || {
                for (i, (x, out)) in x.chunks(s.inner).zip(out.chunks_mut(s.inner)).enumerate() {
                    let number = (start / s.inner + i) % s.channels;
                    let channel = norm.channel(number);
                    for (at, (x, out)) in (0..).step_by(CHUNK).zip(x.chunks(CHUNK).zip(out.chunks_mut(CHUNK))) {
                        let mut u = [0.0; CHUNK];
                        u.iter_mut().zip(x).for_each(|(u, &x)| *u = channel.apply(x));
                        let words;
                        let mask = match mask {
                            FreezeMask::Partial(all) => {
                                words = window(all, number * s.inner + at);
                                FreezeMask::Partial(&words)
                            }
                            whole => whole,
                        };
                        commit(mask, &u[..x.len()], out);
                    }
                }
            },
        );
    });
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
    let (simd, gate) = (Simd::current(), Gate::new(mask, surrogate));
    if let Gate::Shut = gate {
        return;
    }
    let pass = |number: usize, x: &[f32], gout: &[f32], gu: &mut [f32]| {
        let channel = norm.channel(number);
        simd.vectorize(
            #[inline(always)]
            || {
                let rows = x.chunks(CHUNK).zip(gout.chunks(CHUNK)).zip(gu.chunks_mut(CHUNK));
                for (at, ((x, gout), gu)) in (0..).step_by(CHUNK).zip(rows) {
                    let mut u = [0.0; CHUNK];
                    u.iter_mut().zip(x).for_each(|(u, &x)| *u = channel.apply(x));
                    let words;
                    let gate = match gate {
                        Gate::Masked { frozen, frozen_pass } => {
                            words = window(frozen, number * s.inner + at);
                            Gate::Masked {
                                frozen: &words,
                                frozen_pass,
                            }
                        }
                        whole => whole,
                    };
                    gate.pass(&u[..x.len()], gout, gu, |gu, g| *gu = g);
                }
            },
        );
    };
    backward(s, x, norm, gout, gx, gscale, gshift, Some(pass));
}

/// Elements that are normalized and quantized at a time.
const CHUNK: usize = 256;

/// The bits of a chunk, from bit `start` on; bits past the end are zeros.
#[inline(always)]
fn window(words: &[u64], start: usize) -> [u64; CHUNK / 64] {
    let (first, shift) = (start / 64, start % 64);
    let word = |i: usize| words.get(first + i).copied().unwrap_or(0);
    std::array::from_fn(|i| word(i) >> shift | word(i + 1).checked_shl(64 - shift as u32).unwrap_or(0))
}

#[track_caller]
fn check_mask(s: &ChannelShape, mask: FreezeMask) {
    if let FreezeMask::Partial(words) = mask {
        check::length("mask", words.len(), (s.channels * s.inner).div_ceil(64));
    }
}
