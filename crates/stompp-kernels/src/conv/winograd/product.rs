//! The matrix product of one frequency.

use crate::simd::{Kernel, Lanes};

/// Rows of a group.
pub(super) const ROWS: usize = 8;

/// The product `out[group][row][lane] (+)= sum over block, step of
/// x[group * x_group + row * ROW + block * x_block + step * STEP] * panel[block][step][lane]`, with [`ROWS`] rows a group. The last block
/// may have fewer steps.
///
/// | | rows | steps | lanes |
/// |---|---|---|---|
/// | outputs | output channels | input channels, one block | tiles |
/// | gradient of the weight | input channels | tiles | output channels |
///
/// Unlike the product of `panel`, it needs no tables of offsets: the distances of rows and steps are constants.
pub(super) struct FrequencyProduct<'a, const ROW: usize, const STEP: usize> {
    /// Lanes of `panel` and `out`: one or two vectors.
    pub(super) width: usize,
    pub(super) groups: usize,
    /// Steps of all blocks together.
    pub(super) steps: usize,
    /// Steps of one block.
    pub(super) steps_of_block: usize,
    /// Distance between the first elements of neighbouring groups.
    pub(super) x_group: usize,
    /// Distance between the first elements of neighbouring blocks.
    pub(super) x_block: usize,
    pub(super) x: &'a [f32],
    /// `width` floats for every step.
    pub(super) panel: &'a [f32],
    /// `width` floats for every row.
    pub(super) out: &'a mut [f32],
    /// Whether to add to `out` (true) or to overwrite it (false).
    pub(super) add: bool,
}

impl<const ROW: usize, const STEP: usize> Kernel for FrequencyProduct<'_, ROW, STEP> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (Some(last_step), Some(last_group)) = (self.steps.checked_sub(1), self.groups.checked_sub(1)) else {
            assert!(self.add || self.groups == 0, "an empty sum cannot overwrite `out`");
            return;
        };
        let last_block = last_step / self.steps_of_block;
        let longest = last_step.min(self.steps_of_block - 1);
        let reach = last_group * self.x_group + (ROWS - 1) * ROW + last_block * self.x_block + longest * STEP;
        assert!(reach < self.x.len());
        assert!(self.panel.len() >= self.steps * self.width && self.out.len() >= self.groups * ROWS * self.width);
        // Eight rows of two vectors fill the registers of AVX-512; AVX2 has half as many.
        // SAFETY: the caller guarantees the instructions; the assertions keep every read and write inside its slice.
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

impl<const ROW: usize, const STEP: usize> FrequencyProduct<'_, ROW, STEP> {
    /// # Safety
    ///
    /// The machine must have the instructions of `L`, and the slices are as long as `run` asserts.
    #[inline(always)]
    unsafe fn tiles<L: Lanes, const MR: usize, const NV: usize>(self) {
        // SAFETY: all groups and their rows are inside `x` and `out`.
        unsafe {
            let mut out = self.out.as_mut_ptr();
            for group in 0..self.groups {
                for row in (0..ROWS).step_by(MR) {
                    for sums in self.tile::<L, MR, NV>(group * self.x_group + row * ROW) {
                        for sum in sums {
                            L::store(out, if self.add { L::add(L::load(out), sum) } else { sum });
                            out = out.add(L::LANES);
                        }
                    }
                }
            }
        }
    }

    /// Returns the sums of `MR` rows. The first row starts at `first` in `x`.
    ///
    /// # Safety
    ///
    /// The same as for [`FrequencyProduct::tiles`].
    #[inline(always)]
    unsafe fn tile<L: Lanes, const MR: usize, const NV: usize>(&self, first: usize) -> [[L::Vector; NV]; MR] {
        // SAFETY: `run` has checked that all rows, steps and blocks are inside the slices.
        unsafe {
            let mut sums = [[L::splat(0.0); NV]; MR];
            let mut panel = self.panel.as_ptr();
            for (block, start) in (0..self.steps).step_by(self.steps_of_block).enumerate() {
                let mut x = self.x.as_ptr().add(block * self.x_block + first);
                for _ in start..self.steps.min(start + self.steps_of_block) {
                    let mut lanes = [L::splat(0.0); NV];
                    for (v, lanes) in lanes.iter_mut().enumerate() {
                        *lanes = L::load(panel.add(v * L::LANES));
                    }
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
    use crate::simd::{Simd, SimdLevel, with_level};

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1009) as f32) / 504.5 - 1.0).collect()
    }

    #[test]
    fn product_matches_the_formula_at_every_level() {
        for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
            for (vectors, groups, steps, steps_of_block, add) in [
                (1, 1, 1, 1, false),
                (2, 2, 37, 37, false),
                (2, 3, 70, 16, true),
                (1, 1, 64, 16, true),
            ] {
                with_level(level, || {
                    let width = vectors * if level == SimdLevel::Avx512 { 16 } else { 8 };
                    let (x_group, x_block) = (1000, 300);
                    let (x, panel) = (noise(6000), noise(steps * width));
                    let mut out = vec![0.5; groups * ROWS * width];
                    Simd::current().run(FrequencyProduct::<3, 8> {
                        width,
                        groups,
                        steps,
                        steps_of_block,
                        x_group,
                        x_block,
                        x: &x,
                        panel: &panel,
                        out: &mut out,
                        add,
                    });
                    for (i, &out) in out.iter().enumerate() {
                        let term = |step: usize| {
                            let (group, row) = (i / width / ROWS, i / width % ROWS);
                            let at = group * x_group + row * 3;
                            let at = at + step / steps_of_block * x_block + step % steps_of_block * 8;
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
        Simd::current().run(FrequencyProduct::<1, 8> {
            width: 16,
            groups: 1,
            steps: 1,
            steps_of_block: 1,
            x_group: 0,
            x_block: 0,
            x: &x,
            panel: &panel,
            out: &mut out,
            add: false,
        });
    }
}
