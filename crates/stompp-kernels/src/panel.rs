//! The one multiplication behind convolutions and linear layers, and the change of layout around it.
//!
//! A *panel* holds, for each of `n` steps, one vector of `width` neighbouring channels: `panel[step][lane]`. The
//! multiplication
//!
//! ```text
//! out[row][lane] (+)= sum over step of x[rows[row] + steps[step]] * panel[step][lane]
//! ```
//!
//! broadcasts single floats of `x` from wherever two offset tables say. So patches of an image are read in place and
//! the patch matrix never exists. The same form serves
//!
//! | | rows | steps | panel |
//! |---|---|---|---|
//! | forward | output pixels | patch entries | weights, by output channel |
//! | gradient of the input | input pixels | (output channel, tap) | weights, by input channel |
//! | gradient of the weight | patch entries | output pixels | output gradient, by output channel |
//!
//! Each result is a sum in the order of the steps, cut into blocks of [`BLOCK`] steps, whatever the tiling.

use crate::simd::{Kernel, Lanes, Level, Simd};

/// Steps whose panel stays in the first-level cache: 16 KiB with 16 channels a panel.
const BLOCK: usize = 256;

/// Offsets into a slice.
pub(crate) type Offsets = Vec<u32>;

/// An offset as the tables hold it.
///
/// # Panics
///
/// If an image group has 2^32 elements or more.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("an image group has fewer than 2^32 elements")
}

/// Channels in a panel, for a tensor of `channels` channels.
pub(crate) fn width(simd: Simd, channels: usize) -> usize {
    match simd.level() {
        Level::Portable => 8,
        Level::Avx2 if channels <= 8 => 8,
        Level::Avx2 => 16,
        Level::Avx512 if channels <= 16 => 16,
        Level::Avx512 => 32,
    }
}

/// `out[row][lane] (+)= sum over step of x[rows[row] + steps[step]] * panel[step][lane]`; see the module.
pub(crate) struct Product<'a> {
    /// Lanes of `panel` and `out`, as [`width`] gives it.
    pub(crate) width: usize,
    pub(crate) x: &'a [f32],
    pub(crate) rows: &'a [u32],
    pub(crate) steps: &'a [u32],
    /// At least `steps.len() * width` floats.
    pub(crate) panel: &'a [f32],
    /// At least `rows.len() * width` floats.
    pub(crate) out: &'a mut [f32],
    /// Whether `out` is added to or overwritten.
    pub(crate) add: bool,
}

impl Product<'_> {
    /// Computes it.
    ///
    /// # Panics
    ///
    /// If a slice is too short for the offsets or for its shape.
    pub(crate) fn compute(self, simd: Simd) {
        let Some(last) = self.rows.iter().max() else { return };
        let Some(reach) = self.steps.iter().max() else {
            if !self.add {
                self.out[..self.rows.len() * self.width].fill(0.0);
            }
            return;
        };
        assert!(*last as usize + (*reach as usize) < self.x.len());
        assert!(self.panel.len() >= self.steps.len() * self.width && self.out.len() >= self.rows.len() * self.width);
        simd.run(self);
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // Tiles fill the registers: 6 x 2 accumulators of 16 registers with AVX2, 8 x 2 of 32 with AVX-512, where more
        // rows would not find enough address registers.
        // SAFETY: the caller vouches for the instructions.
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

impl Product<'_> {
    /// # Safety
    ///
    /// The machine has the instructions of `L`, and `width` is `NV * L::LANES`.
    #[inline(always)]
    unsafe fn tiles<L: Lanes, const MR: usize, const NV: usize>(self) {
        debug_assert_eq!(self.width, NV * L::LANES);
        let mut add = self.add;
        for (steps, panel) in self.steps.chunks(BLOCK).zip(self.panel.chunks(BLOCK * self.width)) {
            for (rows, out) in self.rows.chunks(MR).zip(self.out.chunks_mut(MR * self.width)) {
                let offset: [usize; MR] = std::array::from_fn(|j| rows[j.min(rows.len() - 1)] as usize);
                // SAFETY: `compute` has checked that every sum of a row's and a step's offset lies in `x`, that the
                // panel has `width` floats a step, and `out` as many a row.
                unsafe {
                    let sums = tile::<L, MR, NV>(self.x, &offset, steps, panel);
                    let out = out.as_mut_ptr();
                    for (j, sums) in sums.iter().enumerate().take(rows.len()) {
                        for (v, &sum) in sums.iter().enumerate() {
                            let p = out.add(j * self.width + v * L::LANES);
                            L::store(p, if add { L::add(L::load(p), sum) } else { sum });
                        }
                    }
                }
            }
            add = true;
        }
    }
}

/// One register tile: the sums of `MR` rows and `NV` vectors over all `steps`.
///
/// # Safety
///
/// The machine has the instructions of `L`; `offset[j] + steps[i] < x.len()` for all `i`, `j`; `panel` has
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
            let channels: [L::Vector; NV] = std::array::from_fn(|v| L::load(panel.add(v * L::LANES)));
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

/// Fills `panel[step][lane] = src[lane * lane_stride + step]` for `lanes` lanes and zeros above them.
pub(crate) fn pack(src: &[f32], lane_stride: usize, lanes: usize, width: usize, panel: &mut [f32]) {
    for (block, panel) in panel.chunks_mut(16 * width).enumerate() {
        let start = 16 * block;
        if lanes < width {
            panel.fill(0.0);
        }
        for lane in 0..lanes {
            let src = &src[lane * lane_stride + start..][..panel.len() / width];
            for (out, &x) in panel[lane..].iter_mut().step_by(width).zip(src) {
                *out = x;
            }
        }
    }
}

/// Hands `f` every `(lane, step, panel[step][lane])` of the first `lanes` lanes, in an order kind to caches.
#[inline(always)]
pub(crate) fn unpack(panel: &[f32], width: usize, lanes: usize, mut f: impl FnMut(usize, usize, f32)) {
    for (block, panel) in panel.chunks(16 * width).enumerate() {
        for lane in 0..lanes {
            for (i, &x) in panel[lane..].iter().step_by(width).enumerate() {
                f(lane, 16 * block + i, x);
            }
        }
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
        for level in Level::ALL.into_iter().filter(|l| l.is_supported()) {
            for (rows, steps, channels) in [(1, 1, 8), (5, 3, 16), (13, 300, 32), (8, 513, 10)] {
                with_level(level, || {
                    let simd = Simd::current();
                    let width = width(simd, channels);
                    let x = noise(4096);
                    let row_offsets: Offsets = (0..rows).map(|r| offset(r * 97 % 1000)).collect();
                    let step_offsets: Offsets = (0..steps).map(|i| offset(i * 31 % 2000)).collect();
                    let panel = noise(steps * width);
                    for add in [false, true] {
                        let mut out = vec![0.25; rows * width];
                        let (rows, steps) = (&row_offsets[..], &step_offsets[..]);
                        Product {
                            width,
                            x: &x,
                            rows,
                            steps,
                            panel: &panel,
                            out: &mut out,
                            add,
                        }
                        .compute(simd);
                        for (i, &out) in out.iter().enumerate() {
                            let (row, lane) = (i / width, i % width);
                            let sum: f64 = (0..step_offsets.len())
                                .map(|s| {
                                    let x = x[row * 97 % 1000 + s * 31 % 2000];
                                    f64::from(x) * f64::from(panel[s * width + lane])
                                })
                                .sum();
                            let expected = sum + if add { 0.25 } else { 0.0 };
                            assert!(
                                (f64::from(out) - expected).abs() < 1e-4,
                                "{level} {rows:?}: {out} {expected}"
                            );
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn unpack_inverts_pack_and_padding_is_zero() {
        let (lanes, width, steps) = (5, 8, 37);
        let src = noise(lanes * 40);
        let mut panel = vec![f32::NAN; steps * width];
        pack(&src, 40, lanes, width, &mut panel);
        assert!(panel.chunks(width).all(|row| row[lanes..].iter().all(|&x| x == 0.0)));
        let mut seen = 0;
        unpack(&panel, width, lanes, |lane, step, x| {
            assert_eq!(x, src[lane * 40 + step]);
            seen += 1;
        });
        assert_eq!(seen, lanes * steps);
    }
}
