//! Optimizer steps.

use rayon::prelude::*;

use crate::check;
use crate::parallel::PIECE;
use crate::simd::Simd;

/// Optimizer state below this becomes 0, so that decaying averages never become subnormal, which would be slow (**ours**).
const NEGLIGIBLE: f32 = 1e-30;

/// The settings of one SGD step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub learning_rate: f32,
    /// Momentum, in [0, 1).
    pub momentum: f32,
    /// L2 penalty: `weight_decay * w` is added to the gradient.
    pub weight_decay: f32,
    /// If given, the parameter is clamped to `[-bound, bound]` after the step.
    pub bound: Option<f32>,
}

/// The settings of one Adam step, computed as in PyTorch from the step number t = 1, 2, ...
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate divided by `1 - beta1^t`.
    pub step_size: f32,
    /// `1 - beta1`: share of the gradient in the first moment.
    pub first_rate: f32,
    /// Share of the previous second moment, in [0, 1).
    pub beta2: f32,
    /// `1 - beta2`: share of the squared gradient in the second moment.
    pub second_rate: f32,
    /// `sqrt(1 - beta2^t)`.
    pub correction: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// L2 penalty: `weight_decay * w` is added to the gradient.
    pub weight_decay: f32,
    /// If given, the parameter is clamped to `[-bound, bound]` after the step.
    pub bound: Option<f32>,
}

/// Computes one step of stochastic gradient descent with momentum: `g' = g + weight_decay * w`, `v = momentum * v + g'`,
/// `w -= learning_rate * v`. With a bound, `w` is then clamped to `[-bound, bound]`.
///
/// Velocities below 1e-30 are flushed to 0. A NaN stays NaN.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn sgd_momentum_step(step: &SgdStep, w: &mut [f32], v: &mut [f32], g: &[f32]) {
    check::length("v", v.len(), w.len());
    check::length("g", g.len(), w.len());
    let simd = Simd::current();
    let piece = |(w, v, g): (&mut [f32], &mut [f32], &[f32])| {
        // Two loops, because adding a penalty of zero could turn a gradient of -0 into +0.
        if step.weight_decay == 0.0 {
            simd.vectorize(
                #[inline(always)]
                || sgd_piece(step, |_, g| g, w, v, g),
            );
        } else {
            let decay = step.weight_decay;
            simd.vectorize(
                #[inline(always)]
                || sgd_piece(step, |w, g| g + decay * w, w, v, g),
            );
        }
    };
    if w.len() <= PIECE {
        piece((w, v, g));
    } else {
        let pieces = w
            .par_chunks_mut(PIECE)
            .zip(v.par_chunks_mut(PIECE))
            .zip(g.par_chunks(PIECE));
        pieces.for_each(|((w, v), g)| piece((w, v, g)));
    }
}

/// Updates one piece. `gradient` returns the gradient of a weight with its penalty.
#[inline(always)]
fn sgd_piece(step: &SgdStep, gradient: impl Fn(f32, f32) -> f32, w: &mut [f32], v: &mut [f32], g: &[f32]) {
    let SgdStep {
        learning_rate,
        momentum,
        ..
    } = *step;
    let limit = step.bound.unwrap_or(f32::INFINITY);
    for ((w, v), &g) in w.iter_mut().zip(v).zip(g) {
        let moved = negligible_to_zero(momentum * *v + gradient(*w, g));
        *v = moved;
        *w = clamp(*w - learning_rate * moved, limit);
    }
}

/// Computes one step of Adam (Kingma & Ba 2015) as PyTorch does: `g' = g + weight_decay * w`, `m += (1 - beta1) (g' - m)`,
/// `s = beta2 * s + (1 - beta2) g'^2`, `w -= step_size * m / (sqrt(s) / correction + epsilon)`. With a bound, `w` is then clamped to
/// `[-bound, bound]`.
///
/// Moments below 1e-30 are flushed to 0. A NaN stays NaN.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn adam_step(step: &AdamStep, w: &mut [f32], m: &mut [f32], s: &mut [f32], g: &[f32]) {
    check::length("m", m.len(), w.len());
    check::length("s", s.len(), w.len());
    check::length("g", g.len(), w.len());
    let simd = Simd::current();
    // Weights, both moments and gradients, nested as iterators that are zipped give them.
    type Piece<'a> = (((&'a mut [f32], &'a mut [f32]), &'a mut [f32]), &'a [f32]);
    let piece = |(((w, m), s), g): Piece<'_>| {
        simd.vectorize(
            #[inline(always)]
            || adam_piece(step, w, m, s, g),
        );
    };
    if w.len() <= PIECE {
        piece((((w, m), s), g));
    } else {
        let pieces = w
            .par_chunks_mut(PIECE)
            .zip(m.par_chunks_mut(PIECE))
            .zip(s.par_chunks_mut(PIECE))
            .zip(g.par_chunks(PIECE));
        pieces.for_each(piece);
    }
}

#[inline(always)]
fn adam_piece(step: &AdamStep, w: &mut [f32], m: &mut [f32], s: &mut [f32], g: &[f32]) {
    let AdamStep {
        step_size,
        first_rate,
        beta2,
        second_rate,
        correction,
        epsilon,
        weight_decay,
        bound,
    } = *step;
    let limit = bound.unwrap_or(f32::INFINITY);
    for (((w, m), s), &g) in w.iter_mut().zip(m).zip(s).zip(g) {
        let g = g + weight_decay * *w;
        let first = negligible_to_zero(*m + first_rate * (g - *m));
        let second = negligible_to_zero(beta2 * *s + second_rate * (g * g));
        (*m, *s) = (first, second);
        *w = clamp(*w - step_size * (first / (second.sqrt() / correction + epsilon)), limit);
    }
}

#[inline(always)]
fn negligible_to_zero(x: f32) -> f32 {
    if x.abs() < NEGLIGIBLE { 0.0 } else { x }
}

/// Clamps `x` to `[-limit, limit]`. NaN stays NaN.
#[inline(always)]
fn clamp(x: f32, limit: f32) -> f32 {
    let x = if x > limit { limit } else { x };
    if x < -limit { -limit } else { x }
}
