//! The masked quantizer: some entries are committed to their sign, the others are clipped.

mod rows;

pub(crate) use rows::{GradientFilter, Value, pass, quantize};

use crate::check;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::simd::{Kernel, Lanes, Simd};
use rows::Element;
use std::fmt;

/// Which entries of a tensor are frozen. `M` is how the mask of a tensor that is freezing is kept.
///
/// The kernels take `FreezeState<&[u64]>`. Several samples may share one mask: entry `i` of every sample is frozen if bit
/// `i % 64` (least significant first) of word `i / 64` is set. Bits past the last entry are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeState<M> {
    /// None: the tensor is clipped.
    Open,
    /// Those whose bit is set.
    Freezing(M),
    /// All: the tensor is binary.
    Committed,
}

impl<M> FreezeState<M> {
    /// Whether a quantizer in this state passes no gradient at all: everything is frozen, and frozen entries pass none.
    pub fn blocks_gradient(&self, surrogate: Surrogate) -> bool {
        matches!((self, surrogate), (Self::Committed, Surrogate::Blocked))
    }

    /// The same state with its mask, if it has one, as `f` gives it.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<'a, N, E>(&'a self, f: impl FnOnce(&'a M) -> Result<N, E>) -> Result<FreezeState<N>, E> {
        Ok(match self {
            Self::Open => FreezeState::Open,
            Self::Freezing(mask) => FreezeState::Freezing(f(mask)?),
            Self::Committed => FreezeState::Committed,
        })
    }
}

/// What gradient a frozen entry passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Surrogate {
    /// None: `sign` has derivative zero.
    Blocked,
    /// All of it: the straight-through estimator.
    Identity,
    /// All of it where `|u| <= 1`: the straight-through estimator of `clip(u, -1, 1)`.
    Clipped,
}

impl Surrogate {
    /// Those that pass a gradient.
    pub const STRAIGHT_THROUGH: [Self; 2] = [Self::Identity, Self::Clipped];

    /// The name in configurations and reports.
    // By hand: for three names `strum` is not shorter, and this crate has no procedural macro else.
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

/// `out = M sign(u) + (1 - M) clip(u, -1, 1)`, with `sign(0) = sign(-0) = +1`.
///
/// `u` consists of samples of `period` entries each, all with the same `mask`. A NaN stays NaN where its entry is open;
/// where it is frozen it becomes -1, as a packed sign bit does.
///
/// # Panics
///
/// If the lengths differ, `u` is not a whole number of samples, or a partial mask has not `period / 64` words, rounded
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
            // SAFETY: the caller vouches for the instructions.
            unsafe { rows::quantize::<L>(self.mask, 0, Element, x, out) };
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
            // SAFETY: the caller vouches for the instructions.
            unsafe { rows::pass::<L, true>(self.gate, 0, Element, x, g, gu) };
        }
    }
}

/// Elements of a parallel piece: whole samples where the mask repeats.
fn piece(mask: FreezeState<&[u64]>, period: usize) -> usize {
    match mask {
        FreezeState::Freezing(_) => PIECE.div_ceil(period.max(1)) * period,
        FreezeState::Open | FreezeState::Committed => PIECE,
    }
}

pub(crate) fn check_shape(mask: FreezeState<&[u64]>, period: usize, u: &[f32]) {
    assert!(
        u.is_empty() || (period > 0 && u.len().is_multiple_of(period)),
        "{} elements are no whole number of samples of {period}",
        u.len(),
    );
    if let FreezeState::Freezing(words) = mask {
        check::length("mask", words.len(), period.div_ceil(64));
    }
}
