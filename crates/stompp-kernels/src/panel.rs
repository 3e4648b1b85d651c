//! The matrix product for convolutions and linear layers.
//!
//! A *panel* holds, for each of `n` steps, one vector of `width` neighbouring channels: `panel[step][lane]`. The
//! multiplication
//!
//! ```text
//! out[row.out][lane] (+)= sum over step of x[row.x + steps[step]] * panel[step][lane]
//! ```
//!
//! broadcasts single floats of `x`, whose positions are in two offset tables. So patches of an image are read in place, without a patch
//! matrix. The same form computes all three passes of a convolution:
//!
//! | | rows | steps | panel |
//! |---|---|---|---|
//! | forward | output pixels | patch entries | weights, by output channel |
//! | gradient of the input | input pixels | (output channel, tap) | weights, by input channel |
//! | gradient of the weight | patch entries | output pixels | output gradient, by output channel |
//!
//! Each result is a sum in the order of the steps, in blocks of [`BLOCK`] steps. It does not depend on the tiling.
//!
//! Comparison with a library: GFLOP/s of the `gemm` crate 0.19 on an existing patch matrix, and of the whole convolution with this module.
//! One core with AVX2 (peak about 126), batch 32 (16@32: 64), kernel 3x3:
//!
//! | | 16@32 | 64@32 | 128@16 | 256@8 | 512@4 |
//! |---|---|---|---|---|---|
//! | `gemm` alone | 64 | 69 | 87 | 99 | 102 |
//! | convolution | 92 | 106 | 110 | 110 | 105 |

use crate::simd::{Kernel, Lanes, Simd, SimdLevel};

/// Number of steps in a block. Its part of a panel stays in the first-level cache: 16 KiB with 16 channels a panel.
pub(crate) const BLOCK: usize = 256;

/// A row of a [`PanelProduct`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Start of the row in `x`.
    pub(crate) x: u32,
    /// Index of the row in `out`.
    pub(crate) out: u32,
}

/// Converts an offset or a row number to the type of the tables.
///
/// # Panics
///
/// Panics if an image group has 2^32 elements or more.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("an image group has fewer than 2^32 elements")
}

/// Returns the number of channels in a panel, for a tensor of `channels` channels.
pub(crate) fn width(simd: Simd, channels: usize) -> usize {
    match simd.level() {
        SimdLevel::Portable => 8,
        SimdLevel::Avx2 if channels <= 8 => 8,
        SimdLevel::Avx2 => 16,
        SimdLevel::Avx512 if channels <= 16 => 16,
        SimdLevel::Avx512 => 32,
    }
}

/// The product `out[row.out][lane] (+)= sum over step of x[row.x + steps[step]] * panel[step][lane]`; see the module.
pub(crate) struct PanelProduct<'a> {
    /// Lanes of `panel` and `out`, as [`width`] gives it.
    pub(crate) width: usize,
    pub(crate) x: &'a [f32],
    pub(crate) rows: &'a [Row],
    pub(crate) steps: &'a [u32],
    /// At least `steps.len() * width` floats.
    pub(crate) panel: &'a [f32],
    /// `width` floats for every row number.
    pub(crate) out: &'a mut [f32],
    /// Whether to add to `out` (true) or to overwrite it (false).
    pub(crate) add: bool,
}

impl PanelProduct<'_> {
    /// Computes the product.
    ///
    /// # Panics
    ///
    /// Panics if a slice is too short for the offsets or for its shape, or `width` is none that [`width`] gives.
    pub(crate) fn compute(self, simd: Simd) {
        let (Some(last), Some(reach)) = (self.rows.iter().map(|row| row.x).max(), self.steps.iter().max()) else {
            assert!(self.add || self.rows.is_empty(), "an empty sum cannot overwrite `out`");
            return;
        };
        let out_rows = self
            .rows
            .iter()
            .map(|row| row.out)
            .max()
            .map_or(0, |last| last as usize + 1);
        assert!(last as usize + (*reach as usize) < self.x.len());
        assert!(self.panel.len() >= self.steps.len() * self.width && self.out.len() >= out_rows * self.width);
        simd.run(self);
    }
}

impl Kernel for PanelProduct<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // Tiles fill the registers: 6 x 2 accumulators of 16 registers with AVX2, 8 x 2 of 32 with AVX-512. More rows with AVX-512 would
        // need too many address registers.
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            match (self.width / L::LANES, L::LANES) {
                (1, 16) => self.tiles::<L, 8, 1>(),
                (_, 16) => self.tiles::<L, 8, 2>(),
                (1, _) => self.tiles::<L, 6, 1>(),
                _ => self.tiles::<L, 6, 2>(),
            }
        }
    }
}

impl PanelProduct<'_> {
    /// # Safety
    ///
    /// The machine must have the instructions of `L`, and [`PanelProduct::compute`] has checked the offsets.
    ///
    /// # Panics
    ///
    /// Panics if `width` is not `NV * L::LANES`.
    #[inline(always)]
    unsafe fn tiles<L: Lanes, const MR: usize, const NV: usize>(self) {
        assert_eq!(
            self.width,
            NV * L::LANES,
            "the panel's width is none of this SIMD level"
        );
        let mut add = self.add;
        let out = self.out.as_mut_ptr();
        for (steps, panel) in self.steps.chunks(BLOCK).zip(self.panel.chunks(BLOCK * self.width)) {
            for rows in self.rows.chunks(MR) {
                let offset: [usize; MR] = std::array::from_fn(|j| rows[j.min(rows.len() - 1)].x as usize);
                // SAFETY: `compute` has checked that every sum of a row's and a step's offset is inside `x`, and that `panel` and `out`
                // have `width` floats for each step and each row.
                unsafe {
                    let sums = tile::<L, MR, NV>(self.x, &offset, steps, panel);
                    for (row, sums) in rows.iter().zip(&sums) {
                        for (v, &sum) in sums.iter().enumerate() {
                            let p = out.add(row.out as usize * self.width + v * L::LANES);
                            L::store(p, if add { L::add(L::load(p), sum) } else { sum });
                        }
                    }
                }
            }
            add = true;
        }
    }
}

/// Computes one register tile: the sums of `MR` rows and `NV` vectors over all `steps`.
///
/// # Safety
///
/// The machine must have the instructions of `L`; `offset[j] + steps[i] < x.len()` for all `i`, `j`; `panel` has
/// `steps.len() * NV * L::LANES` floats.
#[inline(always)]
unsafe fn tile<L: Lanes, const MR: usize, const NV: usize>(
    x: &[f32],
    offset: &[usize; MR],
    steps: &[u32],
    panel: &[f32],
) -> [[L::Vector; NV]; MR] {
    // SAFETY: all reads are within `x` and `panel` by the contract above.
    unsafe {
        let mut sums = [[L::splat(0.0); NV]; MR];
        let x = x.as_ptr();
        let mut panel = panel.as_ptr();
        for &step in steps {
            let x = x.add(step as usize);
            let mut channels = [L::splat(0.0); NV];
            for (v, channels) in channels.iter_mut().enumerate() {
                *channels = L::load(panel.add(v * L::LANES));
            }
            panel = panel.add(NV * L::LANES);
            for j in 0..MR {
                let pixel = L::splat(*x.add(offset[j]));
                for v in 0..NV {
                    sums[j][v] = L::mul_add(pixel, channels[v], sums[j][v]);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::with_level;

    /// A deterministic mess of small values.
    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1009) as f32) / 504.5 - 1.0).collect()
    }

    #[test]
    fn product_matches_the_formula_at_every_level() {
        for level in SimdLevel::ALL.into_iter().filter(|l| l.is_supported()) {
            for (rows, steps, channels) in [(1, 1, 8), (5, 3, 16), (13, 300, 32), (8, 513, 10)] {
                with_level(level, || {
                    let simd = Simd::current();
                    let width = width(simd, channels);
                    let x = noise(4096);
                    // Row numbers run backwards, every other one.
                    let table: Vec<Row> = (0..rows)
                        .map(|r| Row {
                            x: offset(r * 97 % 1000),
                            out: offset(2 * (rows - 1 - r)),
                        })
                        .collect();
                    let steps: Vec<u32> = (0..steps).map(|i| offset(i * 31 % 2000)).collect();
                    let panel = noise(steps.len() * width);
                    for add in [false, true] {
                        let mut out = vec![0.25; 2 * rows * width];
                        PanelProduct {
                            width,
                            x: &x,
                            rows: &table,
                            steps: &steps,
                            panel: &panel,
                            out: &mut out,
                            add,
                        }
                        .compute(simd);
                        for (i, &out) in out.iter().enumerate() {
                            let (number, lane) = (i / width, i % width);
                            let expected = match table.iter().find(|row| row.out as usize == number) {
                                None => 0.25,
                                Some(row) => {
                                    let term = |(s, &step): (usize, &u32)| {
                                        f64::from(x[(row.x + step) as usize]) * f64::from(panel[s * width + lane])
                                    };
                                    let sum: f64 = steps.iter().enumerate().map(term).sum();
                                    sum + if add { 0.25 } else { 0.0 }
                                }
                            };
                            assert!(
                                (f64::from(out) - expected).abs() < 1e-4,
                                "{level} {i}: {out} {expected}"
                            );
                        }
                    }
                });
            }
        }
    }

    #[test]
    #[should_panic(expected = "width")]
    fn a_width_of_another_level_panics() {
        let rows = [Row { x: 0, out: 0 }];
        PanelProduct {
            width: 24,
            x: &[0.0; 5],
            rows: &rows,
            steps: &[2],
            panel: &[0.0; 24],
            out: &mut [0.0; 24],
            add: false,
        }
        .compute(Simd::current());
    }

    #[test]
    #[should_panic]
    fn an_offset_outside_panics() {
        let rows = [Row { x: 3, out: 0 }];
        let width = width(Simd::current(), 8);
        let (panel, mut out) = (vec![0.0; width], vec![0.0; width]);
        PanelProduct {
            width,
            x: &[0.0; 5],
            rows: &rows,
            steps: &[2],
            panel: &panel,
            out: &mut out,
            add: false,
        }
        .compute(Simd::current());
    }
}
