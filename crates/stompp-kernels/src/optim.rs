//! The optimizer's step.

use rayon::prelude::*;

use crate::check;
use crate::parallel::PIECE;
use crate::simd::Simd;

/// Velocities below this become 0, so that decaying momentum never turns subnormal, which is slow (**ours**).
const NEGLIGIBLE: f32 = 1e-30;

/// One step of stochastic gradient descent with momentum: `v = momentum * v + g`, `w -= lr * v`; then, with a `limit`,
/// `w` is clamped to `[-limit, limit]`.
///
/// Velocities below 1e-30 are flushed to 0. A NaN stays NaN.
///
/// # Panics
///
/// If the lengths differ.
pub fn sgd_momentum_step(lr: f32, momentum: f32, w: &mut [f32], v: &mut [f32], g: &[f32], limit: Option<f32>) {
    check::length("v", v.len(), w.len());
    check::length("g", g.len(), w.len());
    let simd = Simd::current();
    let limit = limit.unwrap_or(f32::INFINITY);
    let step = |(w, v, g): (&mut [f32], &mut [f32], &[f32])| {
        simd.vectorize(
            #[inline(always)]
            || {
                for ((w, v), &g) in w.iter_mut().zip(v).zip(g) {
                    let moved = momentum * *v + g;
                    let moved = if moved.abs() < NEGLIGIBLE { 0.0 } else { moved };
                    *v = moved;
                    let next = *w - lr * moved;
                    let next = if next > limit { limit } else { next };
                    *w = if next < -limit { -limit } else { next };
                }
            },
        );
    };
    if w.len() <= PIECE {
        step((w, v, g));
    } else {
        let pieces = w
            .par_chunks_mut(PIECE)
            .zip(v.par_chunks_mut(PIECE))
            .zip(g.par_chunks(PIECE));
        pieces.for_each(|((w, v), g)| step((w, v, g)));
    }
}
