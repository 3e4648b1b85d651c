//! The masked quantizer: some entries are committed to their sign, the others are clipped.

mod rows;

pub(crate) use rows::{Gate, Value, pass, quantize};

use crate::check;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::simd::{Kernel, Lanes, Simd};
use rows::Stored;

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
        let x = &u[start..][..out.len()];
        simd.run(Forward {
            mask,
            period: period.max(1),
            x,
            out,
        });
    });
}

struct Forward<'a> {
    mask: FreezeMask<'a>,
    period: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for (x, out) in self.x.chunks(self.period).zip(self.out.chunks_mut(self.period)) {
            // SAFETY: the caller vouches for the instructions.
            unsafe { rows::quantize::<L>(self.mask, 0, Stored, x, out) };
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
    let gate = Gate::new(mask, surrogate);
    if let Gate::Shut = gate {
        return;
    }
    let simd = Simd::current();
    for_each_piece_of(piece(mask, period), gu, |start, gu| {
        let (x, g) = (&u[start..][..gu.len()], &gout[start..][..gu.len()]);
        simd.run(Backward {
            gate,
            period: period.max(1),
            x,
            g,
            gu,
        });
    });
}

struct Backward<'a> {
    gate: Gate<'a>,
    period: usize,
    x: &'a [f32],
    g: &'a [f32],
    gu: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let inputs = self.x.chunks(self.period).zip(self.g.chunks(self.period));
        for ((x, g), gu) in inputs.zip(self.gu.chunks_mut(self.period)) {
            // SAFETY: the caller vouches for the instructions.
            unsafe { rows::pass::<L, true>(self.gate, 0, Stored, x, g, gu) };
        }
    }
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
