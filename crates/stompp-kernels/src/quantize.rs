//! The masked quantizer: some entries are committed to their sign, the others are clipped.

use crate::check;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::simd::Simd;

/// Which entries of a tensor are frozen. Several samples may share one mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeMask<'a> {
    /// None.
    Open,
    /// Entry `i` of every sample is frozen if bit `i % 64` (least significant first) of word `i / 64` is set. Bits past
    /// the last entry are ignored.
    Partial(&'a [u64]),
    /// All.
    Committed,
}

/// What gradient a frozen entry passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surrogate {
    /// None: `sign` has derivative zero.
    Blocked,
    /// All of it: the straight-through estimator.
    Identity,
    /// All of it where `|u| <= 1`: the straight-through estimator of `clip(u, -1, 1)`.
    Clipped,
}

/// `out = M sign(u) + (1 - M) clip(u, -1, 1)`, with `sign(0) = sign(-0) = +1`.
///
/// `u` consists of samples of `period` entries each, all with the same `mask`. A NaN stays NaN where its entry is open;
/// where it is frozen it becomes -1, as a packed sign bit does.
///
/// # Panics
///
/// If the lengths differ, `u` is not a whole number of samples, or a partial mask has not `period / 64` words, rounded
/// up.
pub fn quantize_forward(mask: FreezeMask, period: usize, u: &[f32], out: &mut [f32]) {
    check_shape(mask, period, u);
    check::length("out", out.len(), u.len());
    let simd = Simd::current();
    for_each_piece_of(piece(mask, period), out, |start, out| {
        let u = &u[start..][..out.len()];
        simd.vectorize(
            #[inline(always)]
            || {
                for (u, out) in u.chunks(period.max(1)).zip(out.chunks_mut(period.max(1))) {
                    commit(mask, u, out);
                }
            },
        );
    });
}

/// The quantizer on the entries of one sample.
#[inline(always)]
pub(crate) fn commit(mask: FreezeMask, u: &[f32], out: &mut [f32]) {
    match mask {
        FreezeMask::Open => out.iter_mut().zip(u).for_each(|(out, &u)| *out = clip(u)),
        FreezeMask::Committed => out.iter_mut().zip(u).for_each(|(out, &u)| *out = sign(u)),
        FreezeMask::Partial(words) => {
            for ((&word, u), out) in words.iter().zip(u.chunks(64)).zip(out.chunks_mut(64)) {
                for (i, (out, &u)) in out.iter_mut().zip(u).enumerate() {
                    *out = if word >> i & 1 == 1 { sign(u) } else { clip(u) };
                }
            }
        }
    }
}

/// `gu += gout` where the quantizer passes gradient: at open entries where `|u| <= 1`, at frozen ones as `surrogate`
/// says.
///
/// The gate includes `|u| = 1`, so that a latent weight clamped to 1 can move again. A NaN passes none through a gate.
///
/// # Panics
///
/// As [`quantize_forward`].
pub fn quantize_backward(
    mask: FreezeMask,
    surrogate: Surrogate,
    period: usize,
    u: &[f32],
    gout: &[f32],
    gu: &mut [f32],
) {
    check_shape(mask, period, u);
    check::length("gout", gout.len(), u.len());
    check::length("gu", gu.len(), u.len());
    let simd = Simd::current();
    let gate = Gate::new(mask, surrogate);
    if let Gate::Shut = gate {
        return;
    }
    for_each_piece_of(piece(mask, period), gu, |start, gu| {
        let (u, gout) = (&u[start..][..gu.len()], &gout[start..][..gu.len()]);
        simd.vectorize(
            #[inline(always)]
            || {
                let samples = u.chunks(period).zip(gout.chunks(period)).zip(gu.chunks_mut(period));
                samples.for_each(|((u, gout), gu)| gate.pass(u, gout, gu, |gu, g| *gu += g));
            },
        );
    });
}

/// Which entries pass gradient.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// None.
    Shut,
    /// All.
    Wide,
    /// Those with `|u| <= 1`.
    Clipped,
    /// Frozen ones always or never, open ones with `|u| <= 1`.
    Masked { frozen: &'a [u64], frozen_pass: bool },
}

impl<'a> Gate<'a> {
    pub(crate) fn new(mask: FreezeMask<'a>, surrogate: Surrogate) -> Self {
        match (mask, surrogate) {
            (FreezeMask::Open, _) | (_, Surrogate::Clipped) => Gate::Clipped,
            (FreezeMask::Committed, Surrogate::Blocked) => Gate::Shut,
            (FreezeMask::Committed, Surrogate::Identity) => Gate::Wide,
            (FreezeMask::Partial(frozen), _) => Gate::Masked {
                frozen,
                frozen_pass: surrogate == Surrogate::Identity,
            },
        }
    }

    /// Hands `write` for every entry of one sample its place in `gu` and what gradient it passes.
    #[inline(always)]
    pub(crate) fn pass(self, u: &[f32], gout: &[f32], gu: &mut [f32], write: impl Fn(&mut f32, f32)) {
        match self {
            Gate::Shut => gu.iter_mut().for_each(|gu| write(gu, 0.0)),
            Gate::Wide => gu.iter_mut().zip(gout).for_each(|(gu, &g)| write(gu, g)),
            Gate::Clipped => {
                for ((gu, &u), &g) in gu.iter_mut().zip(u).zip(gout) {
                    write(gu, if within(u) { g } else { 0.0 });
                }
            }
            Gate::Masked { frozen, frozen_pass } => {
                let blocks = u.chunks(64).zip(gout.chunks(64)).zip(gu.chunks_mut(64));
                for (&word, ((u, gout), gu)) in frozen.iter().zip(blocks) {
                    for (i, ((gu, &u), &g)) in gu.iter_mut().zip(u).zip(gout).enumerate() {
                        let passes = if word >> i & 1 == 1 { frozen_pass } else { within(u) };
                        write(gu, if passes { g } else { 0.0 });
                    }
                }
            }
        }
    }
}

/// `+1` for 0 and -0, `-1` for NaN.
#[inline(always)]
fn sign(u: f32) -> f32 {
    if u >= 0.0 { 1.0 } else { -1.0 }
}

/// `clip(u, -1, 1)`; NaN stays.
#[inline(always)]
fn clip(u: f32) -> f32 {
    let u = if u > 1.0 { 1.0 } else { u };
    if u < -1.0 { -1.0 } else { u }
}

/// Whether `|u| <= 1`.
#[inline(always)]
fn within(u: f32) -> bool {
    u.abs() <= 1.0
}

/// Elements of a parallel piece: whole samples where the mask repeats.
fn piece(mask: FreezeMask, period: usize) -> usize {
    match mask {
        FreezeMask::Partial(_) => PIECE.div_ceil(period.max(1)) * period,
        FreezeMask::Open | FreezeMask::Committed => PIECE,
    }
}

pub(crate) fn check_shape(mask: FreezeMask, period: usize, u: &[f32]) {
    assert!(
        u.is_empty() || (period > 0 && u.len().is_multiple_of(period)),
        "{} elements are no whole number of samples of {period}",
        u.len(),
    );
    if let FreezeMask::Partial(words) = mask {
        check::length("mask", words.len(), period.div_ceil(64));
    }
}
