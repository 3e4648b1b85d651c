//! The transform of the kernels, `G g G^T`, and the transform of their gradients, `G^T u G`.

use rayon::prelude::*;

use super::product::ROWS;
use super::{FREQUENCIES, frequency_stride};
use crate::conv::ConvShape;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, Simd, each};
use crate::transpose::transpose;

/// Entries of a kernel.
pub(super) const TAPS: usize = 9;

/// Transformed kernels: `(frequency, group of rows, step, row)`. Rows are channels of the output, steps are channels of the input.
pub(super) struct TransformedKernels {
    values: Scratch,
    pub(super) rows: usize,
    pub(super) steps: usize,
}

impl TransformedKernels {
    /// Transforms the kernels for the forward pass. Rows are output channels.
    pub(super) fn forward(s: &ConvShape, simd: Simd, w: &[f32]) -> Self {
        let of_row = s.in_channels * TAPS;
        Self::new(simd, (s.out_channels, of_row), (s.in_channels, TAPS), false, w)
    }

    /// Transforms the kernels for the gradient of the input. Rows are input channels, and the kernels are rotated by 180 degrees.
    pub(super) fn backward(s: &ConvShape, simd: Simd, w: &[f32]) -> Self {
        let of_step = s.in_channels * TAPS;
        Self::new(simd, (s.in_channels, TAPS), (s.out_channels, of_step), true, w)
    }

    /// Transforms the kernels. Rows and steps are given with their distances in `w`.
    fn new(
        simd: Simd,
        (rows, from_row): (usize, usize),
        (steps, from_step): (usize, usize),
        turned: bool,
        w: &[f32],
    ) -> Self {
        let mut values = Scratch::new(FREQUENCIES * frequency_stride(rows * steps));
        // For each group of rows, the part of every frequency.
        let mut groups: Vec<Vec<&mut [f32]>> = (0..rows / ROWS).map(|_| Vec::with_capacity(FREQUENCIES)).collect();
        for frequency in values.chunks_mut(frequency_stride(rows * steps)) {
            let parts = frequency.chunks_mut(ROWS * steps);
            groups.iter_mut().zip(parts).for_each(|(group, part)| group.push(part));
        }
        // A separate task needs at least some thousand kernels.
        let least = 512_usize.div_ceil(steps);
        groups
            .into_par_iter()
            .with_min_len(least)
            .enumerate()
            .for_each(|(group, mut parts)| {
                let mut taps = [0.0; TAPS * ROWS];
                for step in 0..steps {
                    let src = &w[group * ROWS * from_row + step * from_step..];
                    transpose(simd, [ROWS, TAPS], (src, from_row), (&mut taps, ROWS), false);
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            let taps = taps.as_chunks::<ROWS>().0;
                            let tap = |i: usize| taps[if turned { TAPS - 1 - i } else { i }];
                            let g: [[f32; ROWS]; TAPS] = std::array::from_fn(tap);
                            for (part, u) in parts.iter_mut().zip(transformed(&g)) {
                                part[step * ROWS..][..ROWS].copy_from_slice(&u);
                            }
                        },
                    );
                }
            });
        Self { values, rows, steps }
    }

    /// Returns the number of floats of one frequency and one group of rows.
    pub(super) fn group_len(&self) -> usize {
        self.steps * ROWS
    }

    /// Returns the kernels of one frequency, starting at group of rows `first`: `(group, step, row)`.
    pub(super) fn groups(&self, frequency: usize, first: usize) -> &[f32] {
        let len = self.rows * self.steps;
        &self.values[frequency * frequency_stride(len)..][first * self.group_len()..len]
    }
}

/// Computes `G g G^T` for several kernels at once.
#[inline(always)]
fn transformed(g: &[[f32; ROWS]; TAPS]) -> [[f32; ROWS]; FREQUENCIES] {
    let mut half = [[0.0; ROWS]; 12];
    let mut u = [[0.0; ROWS]; FREQUENCIES];
    for lane in 0..ROWS {
        for x in 0..3 {
            let (a, b, c) = (g[x][lane], g[3 + x][lane], g[6 + x][lane]);
            let ends = a + c;
            half[x][lane] = a;
            half[3 + x][lane] = 0.5 * (ends + b);
            half[6 + x][lane] = 0.5 * (ends - b);
            half[9 + x][lane] = c;
        }
    }
    for lane in 0..ROWS {
        for y in 0..4 {
            let (a, b, c) = (half[3 * y][lane], half[3 * y + 1][lane], half[3 * y + 2][lane]);
            let ends = a + c;
            u[4 * y][lane] = a;
            u[4 * y + 1][lane] = 0.5 * (ends + b);
            u[4 * y + 2][lane] = 0.5 * (ends - b);
            u[4 * y + 3][lane] = c;
        }
    }
    u
}

/// Computes `G^T u G`: from `(frequency, channel, lane)` to `(channel, tap, lane)`.
pub(super) struct WeightGradientTransform<'a> {
    /// Number of lanes, a multiple of the vector's.
    pub(super) width: usize,
    pub(super) u: &'a [f32],
    pub(super) taps: &'a mut [f32],
}

impl Kernel for WeightGradientTransform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let frequency = self.u.len() / FREQUENCIES;
        for (channel, taps) in self.taps.chunks_mut(TAPS * self.width).enumerate() {
            for lane in (0..self.width).step_by(L::LANES) {
                let at = channel * self.width + lane;
                // SAFETY: the caller guarantees the instructions.
                unsafe {
                    let half = each(
                        [0, 4, 8, 12],
                        #[inline(always)]
                        |y: usize| {
                            back::<L>(each(
                                [y, y + 1, y + 2, y + 3],
                                #[inline(always)]
                                |f: usize| L::load(self.u[f * frequency + at..][..L::LANES].as_ptr()),
                            ))
                        },
                    );
                    for x in 0..3 {
                        let column = back::<L>([half[0][x], half[1][x], half[2][x], half[3][x]]);
                        for (y, v) in column.into_iter().enumerate() {
                            L::store(taps[(3 * y + x) * self.width + lane..][..L::LANES].as_mut_ptr(), v);
                        }
                    }
                }
            }
        }
    }
}

/// Computes `G^T u` for a column.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn back<L: Lanes>([u0, u1, u2, u3]: [L::Vector; 4]) -> [L::Vector; 3] {
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        let half = L::splat(0.5);
        let sum = L::add(u1, u2);
        let difference = L::sub(u1, u2);
        [
            L::mul_add(sum, half, u0),
            L::mul_add(difference, half, L::splat(0.0)),
            L::mul_add(sum, half, u3),
        ]
    }
}
