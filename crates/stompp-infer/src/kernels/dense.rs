//! Sums of floats: convolutions in full precision, linear layers, and convolutions of floats with weights of -1 and +1.
//!
//! Every sum runs over a patch in the order (channel, row, column) in blocks of [`BLOCK`] products; blocks are added up in order.
//! Multiplication and addition are fused. That is the trainer's order, so the sums have the same bits.

use super::{
    tail::{Arithmetic, Portable, Sink, View, bytes_of_pixel, sign},
    window::Windows,
};
use crate::simd::Level;
use alloc::vec::Vec;
use core::ops::Range;

/// Products that are summed before a sum is added to the others.
const BLOCK: usize = 256;
/// Floats of the patches that are gathered together.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const PATCHES: usize = 16384;
/// Most pixels whose patches are gathered together; a multiple of the rows of every tile.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const PIXELS: usize = 48;

/// A layer that sums floats, prepared.
pub(crate) struct Dense {
    pub(crate) windows: Windows,
    pub(crate) outputs: usize,
    /// Where its weight is in the file.
    weight: Range<usize>,
    /// Whether the weight is bits.
    is_bits: bool,
    bias: Option<Vec<f32>>,
    panels: Panels,
}

/// Weights as a level reads them.
enum Panels {
    /// From the file.
    None,
    /// For each panel of channels: (step, channel).
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Floats(Vec<f32>),
    /// The same, a bit a weight: one number a step.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Bits(Vec<u32>),
}

impl Dense {
    /// With the weight that lies at `weight` of `file`: floats (O, C, K, K), or bits (O, K, K, bytes).
    pub(crate) fn new(
        level: Level,
        windows: Windows,
        outputs: usize,
        file: &[u8],
        weight: Range<usize>,
        is_bits: bool,
        bias: Option<Vec<f32>>,
    ) -> Self {
        #[cfg_attr(not(all(feature = "std", target_arch = "x86_64")), allow(unused_mut))]
        let mut dense = Self {
            windows,
            outputs,
            weight,
            is_bits,
            bias,
            panels: Panels::None,
        };
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if let Some(width) = vectors::width(level) {
            dense.panels = dense.panels(width, file);
        }
        let _ = (level, file);
        dense
    }

    /// Floats that a task needs for patches, sums, and the weights of a block.
    pub(crate) fn task_len(&self) -> [usize; 3] {
        let pixels = self.pixels_per_tile();
        let panel = if matches!(self.panels, Panels::None) {
            self.outputs
        } else {
            32
        };
        [pixels * self.windows.entries(), pixels * panel, BLOCK * 32]
    }

    fn pixels_per_tile(&self) -> usize {
        match self.panels {
            Panels::None => 1,
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            _ => {
                let pixels = self.windows.output[0] * self.windows.output[1];
                (PATCHES / self.windows.entries() / 24 * 24)
                    .clamp(24, PIXELS)
                    .min(pixels)
            }
        }
    }

    /// Computes `rows` of the output. `memory` has the lengths of [`Dense::task_len`].
    pub(crate) fn run(
        &self,
        level: Level,
        file: &[u8],
        rows: Range<usize>,
        input: View<'_>,
        memory: [&mut [f32]; 3],
        sink: &mut Sink<'_>,
    ) {
        let [patches, sums, block] = memory;
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if !matches!(self.panels, Panels::None) {
            return vectors::run(self, level, rows, input, [patches, sums, block], sink);
        }
        let _ = (level, block);
        self.run_portable(&file[self.weight.clone()], rows, input, patches, sums, sink);
    }

    fn run_portable(
        &self,
        weight: &[u8],
        rows: Range<usize>,
        input: View<'_>,
        patch: &mut [f32],
        sums: &mut [f32],
        sink: &mut Sink<'_>,
    ) {
        let w = &self.windows;
        let steps = w.entries();
        let (patch, sums) = (&mut patch[..steps], &mut sums[..self.outputs]);
        let area = w.kernel[0] * w.kernel[1];
        let of_pixel = bytes_of_pixel(w.input[0]);
        for (row, column) in rows.flat_map(|row| (0..w.output[1]).map(move |column| (row, column))) {
            gather(w, input, row, column, patch);
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum = if self.is_bits {
                    let kernel = &weight[channel * area * of_pixel..][..area * of_pixel];
                    let bit = |step: usize| {
                        let (input, tap) = (step / area, step % area);
                        kernel[tap * of_pixel + input / 8] >> (input % 8) & 1 == 1
                    };
                    blocks(patch, |step, x, sum| if bit(step) { sum + x } else { sum - x })
                } else {
                    let kernel = weight[channel * steps * 4..][..steps * 4].as_chunks().0;
                    blocks(patch, |step, x, sum| {
                        Portable::mul_add(x, f32::from_le_bytes(kernel[step]), sum)
                    })
                };
            }
            let pixel = row * w.output[1] + column;
            for first in (0..self.outputs).step_by(32) {
                let sums = &mut sums[first..self.outputs.min(first + 32)];
                self.add_bias(first, sums);
                sink.put::<Portable>(pixel, first, sums);
            }
        }
    }

    #[inline(always)]
    fn add_bias(&self, first: usize, sums: &mut [f32]) {
        if let Some(bias) = &self.bias {
            sums.iter_mut().zip(&bias[first..]).for_each(|(sum, bias)| *sum += bias);
        }
    }
}

/// The sum over a patch, block by block; `add` is given the step, the entry and the sum so far.
fn blocks(patch: &[f32], add: impl Fn(usize, f32, f32) -> f32) -> f32 {
    let of_block = |(number, block): (usize, &[f32])| {
        let steps = number * BLOCK..;
        steps.zip(block).fold(0.0, |sum, (step, x)| add(step, *x, sum))
    };
    patch
        .chunks(BLOCK)
        .enumerate()
        .map(of_block)
        .reduce(|sum, block| sum + block)
        .unwrap_or(0.0)
}

/// The entries of a patch, (channel, row, column); padding is 0.
#[inline(always)]
fn gather(w: &Windows, input: View<'_>, row: usize, column: usize, patch: &mut [f32]) {
    let [channels, height, width] = w.input;
    let area = w.kernel[0] * w.kernel[1];
    let (rows, columns) = (w.rows(row), w.columns(column));
    if rows.len() * columns.len() < area {
        patch.fill(0.0);
    }
    for tap_row in rows {
        if columns.is_empty() {
            continue;
        }
        let in_row = w.row(row, tap_row);
        let start = in_row * width + w.column(column, columns.start);
        let first_tap = tap_row * w.kernel[1] + columns.start;
        match input {
            View::Image(values) => {
                for (channel, patch) in patch.chunks_exact_mut(area).enumerate() {
                    let from = &values[channel * height * width + start..][..columns.len()];
                    patch[first_tap..][..columns.len()].copy_from_slice(from);
                }
            }
            View::Floats(values) => {
                for (tap, pixel) in
                    (first_tap..).zip(values[start * channels..].chunks_exact(channels).take(columns.len()))
                {
                    if area == 1 {
                        patch.copy_from_slice(pixel);
                    } else {
                        let of_tap = patch[tap..].iter_mut().step_by(area);
                        of_tap.zip(pixel).for_each(|(to, from)| *to = *from);
                    }
                }
            }
            View::Bits(bytes) => {
                let of_pixel = bytes_of_pixel(channels);
                for (tap, pixel) in
                    (first_tap..).zip(bytes[start * of_pixel..].chunks_exact(of_pixel).take(columns.len()))
                {
                    if area == 1 {
                        for (patch, byte) in patch.chunks_mut(8).zip(pixel) {
                            patch
                                .iter_mut()
                                .enumerate()
                                .for_each(|(i, to)| *to = sign(byte >> i & 1 == 1));
                        }
                    } else {
                        let of_tap = patch[tap..].iter_mut().step_by(area);
                        of_tap
                            .enumerate()
                            .for_each(|(channel, to)| *to = sign(pixel[channel / 8] >> (channel % 8) & 1 == 1));
                    }
                }
            }
        }
    }
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod vectors {
    use super::*;
    use crate::kernels::tail::Fused;
    use alloc::vec;
    use core::arch::x86_64::*;

    /// Channels of a panel: two vectors.
    pub(super) fn width(level: Level) -> Option<usize> {
        match level {
            Level::Portable => None,
            Level::Avx2 => Some(16),
            Level::Avx512 => Some(32),
        }
    }

    impl Dense {
        /// The weight in panels of `width` channels.
        pub(super) fn panels(&self, width: usize, file: &[u8]) -> Panels {
            let weight = &file[self.weight.clone()];
            let steps = self.windows.entries();
            let panels = self.outputs.div_ceil(width);
            if !self.is_bits {
                let mut values = vec![0.0; panels * steps * width];
                for (channel, kernel) in weight.chunks(4 * steps).enumerate() {
                    let column = values[channel / width * width * steps + channel % width..]
                        .iter_mut()
                        .step_by(width);
                    column
                        .zip(kernel.as_chunks().0)
                        .for_each(|(to, from)| *to = f32::from_le_bytes(*from));
                }
                return Panels::Floats(values);
            }
            let mut values = vec![0; panels * steps];
            let area = self.windows.kernel[0] * self.windows.kernel[1];
            let of_pixel = bytes_of_pixel(self.windows.input[0]);
            for (channel, kernel) in weight.chunks(area * of_pixel).enumerate() {
                let of_panel = &mut values[channel / width * steps..][..steps];
                for (step, to) in of_panel.iter_mut().enumerate() {
                    let (input, tap) = (step / area, step % area);
                    let bit = kernel[tap * of_pixel + input / 8] >> (input % 8) & 1;
                    *to |= u32::from(bit) << (channel % width);
                }
            }
            Panels::Bits(values)
        }
    }

    pub(super) fn run(
        dense: &Dense,
        level: Level,
        rows: Range<usize>,
        input: View<'_>,
        memory: [&mut [f32]; 3],
        sink: &mut Sink<'_>,
    ) {
        // SAFETY: a network has a level only where the machine has it.
        unsafe {
            match level {
                Level::Avx512 => run_avx512(dense, rows, input, memory, sink),
                _ => run_avx2(dense, rows, input, memory, sink),
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_avx2(dense: &Dense, rows: Range<usize>, input: View<'_>, memory: [&mut [f32]; 3], sink: &mut Sink<'_>) {
        // SAFETY: this function runs only where AVX2 and FMA are.
        unsafe { tiles::<Avx2, Fused, 6>(dense, rows, input, memory, sink) }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
    fn run_avx512(dense: &Dense, rows: Range<usize>, input: View<'_>, memory: [&mut [f32]; 3], sink: &mut Sink<'_>) {
        // SAFETY: this function runs only where these parts of AVX-512 are.
        unsafe { tiles::<Avx512, Fused, 8>(dense, rows, input, memory, sink) }
    }

    /// Vectors of floats.
    ///
    /// # Safety
    /// Methods may be called only where the machine has the level's instructions.
    trait Lanes {
        type Vector: Copy;
        const LANES: usize;
        unsafe fn splat(x: f32) -> Self::Vector;
        unsafe fn load(p: *const f32) -> Self::Vector;
        unsafe fn store(p: *mut f32, v: Self::Vector);
        unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
        unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    }

    macro_rules! lanes {
        ($name:ident, $vector:ty, $lanes:literal: $splat:ident, $load:ident, $store:ident, $add:ident, $mul_add:ident) => {
            enum $name {}

            // SAFETY (of every block below): the caller vouches for the instructions and for the memory.
            impl Lanes for $name {
                type Vector = $vector;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn splat(x: f32) -> $vector {
                    // SAFETY: see above.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(p: *const f32) -> $vector {
                    // SAFETY: see above.
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(p: *mut f32, v: $vector) {
                    // SAFETY: see above.
                    unsafe { $store(p, v) }
                }
                #[inline(always)]
                unsafe fn add(a: $vector, b: $vector) -> $vector {
                    // SAFETY: see above.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn mul_add(a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: see above.
                    unsafe { $mul_add(a, b, c) }
                }
            }
        };
    }
    lanes!(Avx2, __m256, 8: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps);
    lanes!(Avx512, __m512, 16: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps);

    /// Tiles of `MR` pixels and two vectors of channels.
    ///
    /// # Safety
    /// The machine has the instructions of `L` and of `A`.
    #[inline(always)]
    unsafe fn tiles<L: Lanes, A: Arithmetic, const MR: usize>(
        dense: &Dense,
        rows: Range<usize>,
        input: View<'_>,
        [patches, sums, expanded]: [&mut [f32]; 3],
        sink: &mut Sink<'_>,
    ) {
        let w = &dense.windows;
        let (steps, width, columns) = (w.entries(), 2 * L::LANES, w.output[1]);
        let end = rows.end * columns;
        let at_once = dense.pixels_per_tile();
        for first in (rows.start * columns..end).step_by(at_once) {
            let count = at_once.min(end - first);
            let patches = &mut patches[..count * steps];
            for (pixel, patch) in (first..end).zip(patches.chunks_mut(steps)) {
                gather(w, input, pixel / columns, pixel % columns, patch);
            }
            for panel in 0..dense.outputs.div_ceil(width) {
                for start in (0..steps).step_by(BLOCK) {
                    let len = BLOCK.min(steps - start);
                    let weights = match &dense.panels {
                        Panels::Floats(values) => &values[(panel * steps + start) * width..][..len * width],
                        Panels::Bits(values) => {
                            let expanded = &mut expanded[..len * width];
                            for (to, bits) in expanded.chunks_mut(width).zip(&values[panel * steps + start..]) {
                                to.iter_mut()
                                    .enumerate()
                                    .for_each(|(i, to)| *to = sign(bits >> i & 1 == 1));
                            }
                            expanded
                        }
                        Panels::None => &[],
                    };
                    assert!(weights.len() == len * width && sums.len() >= count * width);
                    for tile in (0..count).step_by(MR) {
                        // SAFETY: the caller vouches for the instructions; each patch has `steps` floats, `weights` has `width` a
                        // step, and `sums` as many a pixel.
                        unsafe {
                            let mut at = [patches.as_ptr(); MR];
                            for (j, at) in at.iter_mut().enumerate() {
                                *at = at.add((tile + j).min(count - 1) * steps + start);
                            }
                            let mut tile_sums = [[L::splat(0.0); 2]; MR];
                            let mut weights = weights.as_ptr();
                            for step in 0..len {
                                let channels = [L::load(weights), L::load(weights.add(L::LANES))];
                                weights = weights.add(width);
                                for j in 0..MR {
                                    let x = L::splat(*at[j].add(step));
                                    tile_sums[j][0] = L::mul_add(x, channels[0], tile_sums[j][0]);
                                    tile_sums[j][1] = L::mul_add(x, channels[1], tile_sums[j][1]);
                                }
                            }
                            for (pixel, tile_sums) in (tile..count).zip(&tile_sums) {
                                for (v, sum) in tile_sums.iter().enumerate() {
                                    let to = sums.as_mut_ptr().add(pixel * width + v * L::LANES);
                                    L::store(to, if start == 0 { *sum } else { L::add(L::load(to), *sum) });
                                }
                            }
                        }
                    }
                }
                let channel = panel * width;
                let channels = width.min(dense.outputs - channel);
                for (pixel, sums) in (first..first + count).zip(sums.chunks_mut(width)) {
                    let sums = &mut sums[..channels];
                    dense.add_bias(channel, sums);
                    sink.put::<A>(pixel, channel, sums);
                }
            }
        }
    }
}
