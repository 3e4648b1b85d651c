//! The matrix product of one frequency.

use crate::simd::{Kernel, Lanes};

/// `out[row][lane] (+)= sum over block, step of x[block * x_block + row * ROW + step * STEP] * panel[block][step][lane]`,
/// where the last block may have fewer steps.
///
/// | | rows | steps | lanes |
/// |---|---|---|---|
/// | outputs | output channels | input channels, one block | tiles |
/// | gradient of the weight | input channels | tiles | output channels |
///
/// Unlike `panel`'s product there are no tables of offsets: rows and steps are evenly spaced, by constants.
pub(super) struct Product<'a, const ROW: usize, const STEP: usize> {
    /// Lanes of `panel` and `out`: one or two vectors.
    pub(super) width: usize,
    /// A multiple of eight.
    pub(super) rows: usize,
    /// In all blocks together.
    pub(super) steps: usize,
    /// Of a block.
    pub(super) steps_of_block: usize,
    /// From one block's first element to the next one's.
    pub(super) x_block: usize,
    pub(super) x: &'a [f32],
    /// `width` floats for every step.
    pub(super) panel: &'a [f32],
    /// `width` floats for every row.
    pub(super) out: &'a mut [f32],
    /// Whether `out` is added to or overwritten.
    pub(super) add: bool,
}

impl<const ROW: usize, const STEP: usize> Kernel for Product<'_, ROW, STEP> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Some(last_step) = self.steps.checked_sub(1) else {
            assert!(self.add, "a sum over nothing that overwrites");
            return;
        };
        let last_block = last_step / self.steps_of_block;
        let longest = last_step.min(self.steps_of_block - 1);
        assert!(self.rows.is_multiple_of(8));
        assert!(last_block * self.x_block + self.rows.saturating_sub(1) * ROW + longest * STEP < self.x.len());
        assert!(self.panel.len() >= self.steps * self.width && self.out.len() >= self.rows * self.width);
        // Eight rows of two vectors fill the registers of AVX-512; AVX2 has half as many.
        // SAFETY: the caller vouches for the instructions, the assertions for every read and write.
        unsafe {
            match (self.width / L::LANES, L::LANES) {
                (1, _) => self.tiles::<L, 8, 1>(),
                (2, 16) => self.tiles::<L, 8, 2>(),
                (2, _) => self.tiles::<L, 4, 2>(),
                _ => panic!("a panel of {} lanes", self.width),
            }
        }
    }
}

impl<const ROW: usize, const STEP: usize> Product<'_, ROW, STEP> {
    /// # Safety
    ///
    /// The machine has the instructions of `L`, and the slices are as long as `run` asserts.
    #[inline(always)]
    unsafe fn tiles<L: Lanes, const MR: usize, const NV: usize>(self) {
        for row in (0..self.rows).step_by(MR) {
            // SAFETY: rows `row..row + MR` lie in `x` and `out`.
            unsafe {
                let sums = self.tile::<L, MR, NV>(row);
                let mut out = self.out.as_mut_ptr().add(row * self.width);
                for sums in sums {
                    for sum in sums {
                        L::store(out, if self.add { L::add(L::load(out), sum) } else { sum });
                        out = out.add(L::LANES);
                    }
                }
            }
        }
    }

    /// The sums of rows `row..row + MR`.
    ///
    /// # Safety
    ///
    /// As [`Product::tiles`].
    #[inline(always)]
    unsafe fn tile<L: Lanes, const MR: usize, const NV: usize>(&self, row: usize) -> [[L::Vector; NV]; MR] {
        // SAFETY: all reads are of rows, steps and blocks that `run` has found inside.
        unsafe {
            let mut sums = [[L::splat(0.0); NV]; MR];
            let mut panel = self.panel.as_ptr();
            for (block, start) in (0..self.steps).step_by(self.steps_of_block).enumerate() {
                let mut x = self.x.as_ptr().add(block * self.x_block + row * ROW);
                for _ in start..self.steps.min(start + self.steps_of_block) {
                    let lanes: [L::Vector; NV] = std::array::from_fn(|v| L::load(panel.add(v * L::LANES)));
                    for (j, sums) in sums.iter_mut().enumerate() {
                        let factor = L::splat(*x.add(j * ROW));
                        for v in 0..NV {
                            sums[v] = L::mul_add(factor, lanes[v], sums[v]);
                        }
                    }
                    panel = panel.add(NV * L::LANES);
                    x = x.add(STEP);
                }
            }
            sums
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, Simd, with_level};

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1009) as f32) / 504.5 - 1.0).collect()
    }

    #[test]
    fn product_matches_the_formula_at_every_level() {
        for level in Level::ALL.into_iter().filter(|level| level.is_supported()) {
            for (vectors, rows, steps, steps_of_block, add) in [
                (1, 8, 1, 1, false),
                (2, 16, 37, 37, false),
                (2, 24, 70, 16, true),
                (1, 8, 64, 16, true),
            ] {
                with_level(level, || {
                    let width = vectors * if level == Level::Avx512 { 16 } else { 8 };
                    let x_block = 32 * rows;
                    let (x, panel) = (noise(x_block * 6 + 4096), noise(steps * width));
                    let mut out = vec![0.5; rows * width];
                    Simd::current().run(Product::<3, 8> {
                        width,
                        rows,
                        steps,
                        steps_of_block,
                        x_block,
                        x: &x,
                        panel: &panel,
                        out: &mut out,
                        add,
                    });
                    for (i, &out) in out.iter().enumerate() {
                        let term = |step: usize| {
                            let at = step / steps_of_block * x_block + i / width * 3 + step % steps_of_block * 8;
                            f64::from(x[at]) * f64::from(panel[step * width + i % width])
                        };
                        let expected = (0..steps).map(term).sum::<f64>() + if add { 0.5 } else { 0.0 };
                        assert!(
                            (f64::from(out) - expected).abs() < 1e-4,
                            "{level} {i}: {out} {expected}"
                        );
                    }
                });
            }
        }
    }

    #[test]
    #[should_panic]
    fn a_row_outside_panics() {
        let (x, panel, mut out) = ([0.0; 7], vec![0.0; 16], vec![0.0; 128]);
        Simd::current().run(Product::<1, 8> {
            width: 16,
            rows: 8,
            steps: 1,
            steps_of_block: 1,
            x_block: 0,
            x: &x,
            panel: &panel,
            out: &mut out,
            add: false,
        });
    }
}
