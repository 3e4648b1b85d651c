//! The masked quantizer: frozen entries become their sign, the others are clipped.

mod rows;

pub(crate) use rows::{GradientFilter, Value, pass, quantize};

use crate::check;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::simd::{Kernel, Lanes, Simd};
use rows::Element;
use std::fmt;

/// The frozen entries of a tensor. `M` is the type of the mask.
///
/// The kernels use `FreezeState<&[u64]>`. Several samples may share one mask: entry `i` of every sample is frozen if bit `i % 64` (least
/// significant first) of word `i / 64` is set. Bits past the last entry are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeState<M> {
    /// No entry is frozen: the tensor is clipped.
    Open,
    /// The entries whose bit is set are frozen.
    Freezing(M),
    /// All entries are frozen: the tensor is binary.
    Committed,
}

impl<M> FreezeState<M> {
    /// Whether a quantizer in this state passes no gradient at all: all entries are frozen, and frozen entries block the gradient.
    pub fn blocks_gradient(&self, surrogate: Surrogate) -> bool {
        matches!((self, surrogate), (Self::Committed, Surrogate::Blocked))
    }

    /// Returns the same state with the mask, if any, converted by `f`.
    ///
    /// # Errors
    /// Returns the error of `f`.
    pub fn try_map<'a, N, E>(&'a self, f: impl FnOnce(&'a M) -> Result<N, E>) -> Result<FreezeState<N>, E> {
        Ok(match self {
            Self::Open => FreezeState::Open,
            Self::Freezing(mask) => FreezeState::Freezing(f(mask)?),
            Self::Committed => FreezeState::Committed,
        })
    }
}

/// The surrogate gradient of a frozen entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Surrogate {
    /// Passes no gradient: the derivative of `sign` is zero.
    Blocked,
    /// Passes the gradient unchanged: the straight-through estimator.
    Identity,
    /// Passes the gradient where `|u| <= 1`: the straight-through estimator of `clip(u, -1, 1)`.
    Clipped,
}

impl Surrogate {
    /// The surrogates that pass a gradient.
    pub const STRAIGHT_THROUGH: [Self; 2] = [Self::Identity, Self::Clipped];

    /// Returns the name in configurations and reports.
    // Without `strum`: it would not be shorter for three names, and this crate has no other procedural macro.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Identity => "identity",
            Self::Clipped => "clipped",
        }
    }
}

impl fmt::Display for Surrogate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Computes `out = M sign(u) + (1 - M) clip(u, -1, 1)`, with `sign(0) = sign(-0) = +1`.
///
/// `u` has samples of `period` entries each, all with the same `mask`. A NaN stays NaN if its entry is open and becomes -1 if it is
/// frozen, like a packed sign bit.
///
/// # Panics
///
/// Panics if the lengths differ, `u` is not a whole number of samples, or a partial mask has not `period / 64` words, rounded
/// up.
pub fn quantize_forward(mask: FreezeState<&[u64]>, period: usize, u: &[f32], out: &mut [f32]) {
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
    mask: FreezeState<&'a [u64]>,
    period: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for (x, out) in self.x.chunks(self.period).zip(self.out.chunks_mut(self.period)) {
            // SAFETY: the caller guarantees the instructions.
            unsafe { rows::quantize::<L>(self.mask, 0, Element, x, out) };
        }
    }
}

/// Computes `gu += gout` where the quantizer passes gradient: at open entries if `|u| <= 1`, at frozen entries according to `surrogate`.
///
/// The gradient also passes at `|u| = 1`, so that a latent weight that was clamped to 1 can move again. It does not pass where `u` is NaN
/// and `|u|` is compared.
///
/// # Panics
///
/// Panics as [`quantize_forward`] does.
pub fn quantize_backward(
    mask: FreezeState<&[u64]>,
    surrogate: Surrogate,
    period: usize,
    u: &[f32],
    gout: &[f32],
    gu: &mut [f32],
) {
    check_shape(mask, period, u);
    check::length("gout", gout.len(), u.len());
    check::length("gu", gu.len(), u.len());
    let gate = GradientFilter::new(mask, surrogate);
    if let GradientFilter::None = gate {
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
    gate: GradientFilter<'a>,
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
            // SAFETY: the caller guarantees the instructions.
            unsafe { rows::pass::<L, true>(self.gate, 0, Element, x, g, gu) };
        }
    }
}

/// Returns the number of elements of a parallel piece: whole samples if there is a mask.
fn piece(mask: FreezeState<&[u64]>, period: usize) -> usize {
    match mask {
        FreezeState::Freezing(_) => PIECE.div_ceil(period.max(1)) * period,
        FreezeState::Open | FreezeState::Committed => PIECE,
    }
}

pub(crate) fn check_shape(mask: FreezeState<&[u64]>, period: usize, u: &[f32]) {
    assert!(
        u.is_empty() || (period > 0 && u.len().is_multiple_of(period)),
        "{} elements are not a whole number of samples of {period}",
        u.len(),
    );
    if let FreezeState::Freezing(words) = mask {
        check::length("mask", words.len(), period.div_ceil(64));
    }
}
