//! [`Dense`] with vector instructions. Weights are stored in panels. The sums of a tile of pixels and channels stay in registers.

use super::*;
use crate::kernels::tail::Fma;
use alloc::vec;
use core::arch::x86_64::*;

/// Returns the number of channels of a panel: two vectors.
pub(super) fn width(level: SimdLevel) -> Option<usize> {
    match level {
        SimdLevel::Portable => None,
        SimdLevel::Avx2 => Some(16),
        SimdLevel::Avx512 => Some(32),
    }
}

/// Converts the weight to panels of `width` channels.
pub(super) fn panels(w: &Windows, outputs: usize, weight: &Weight, width: usize, file: &[u8]) -> Panels {
    let bytes = &file[weight.at.clone()];
    let steps = w.entries();
    let panels = outputs.div_ceil(width);
    if !weight.is_bits {
        let mut values = vec![0.0; panels * steps * width];
        for (channel, kernel) in bytes.chunks(4 * steps).enumerate() {
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
    let area = w.kernel[0] * w.kernel[1];
    let of_pixel = bytes_of_pixel(w.input[0]);
    for (channel, kernel) in bytes.chunks(area * of_pixel).enumerate() {
        let of_panel = &mut values[channel / width * steps..][..steps];
        for (step, to) in of_panel.iter_mut().enumerate() {
            let (input, tap) = (step / area, step % area);
            let bit = kernel[tap * of_pixel + input / 8] >> (input % 8) & 1;
            *to |= u32::from(bit) << (channel % width);
        }
    }
    Panels::Bits(values)
}

pub(super) fn run(
    dense: &Dense,
    prepared: &Prepared,
    level: SimdLevel,
    rows: Range<usize>,
    values: &[f32],
    memory: [&mut [f32]; 2],
    sink: &mut RowWriter<'_>,
) {
    // SAFETY: a network has a level only if the machine supports it.
    unsafe {
        match level {
            SimdLevel::Avx512 => run_avx512(dense, prepared, rows, values, memory, sink),
            _ => run_avx2(dense, prepared, rows, values, memory, sink),
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn run_avx2(
    dense: &Dense,
    prepared: &Prepared,
    rows: Range<usize>,
    values: &[f32],
    memory: [&mut [f32]; 2],
    sink: &mut RowWriter<'_>,
) {
    // SAFETY: this function runs only if the machine has AVX2 and FMA.
    unsafe { tiles::<Avx2, Fma, 6>(dense, prepared, rows, values, memory, sink) }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512(
    dense: &Dense,
    prepared: &Prepared,
    rows: Range<usize>,
    values: &[f32],
    memory: [&mut [f32]; 2],
    sink: &mut RowWriter<'_>,
) {
    // SAFETY: this function runs only if the machine has these parts of AVX-512.
    unsafe { tiles::<Avx512, Fma, 8>(dense, prepared, rows, values, memory, sink) }
}

/// Vectors of floats.
///
/// # Safety
/// The machine must have the instructions of the level.
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

        // SAFETY (of every block below): the caller guarantees that the instructions exist and that the memory is valid.
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

/// Computes rows in tiles of `MR` pixels and two vectors of channels.
///
/// # Safety
/// The machine must have the instructions of `L` and of `A`.
#[inline(always)]
unsafe fn tiles<L: Lanes, A: Arithmetic, const MR: usize>(
    dense: &Dense,
    prepared: &Prepared,
    rows: Range<usize>,
    values: &[f32],
    [sums, expanded]: [&mut [f32]; 2],
    sink: &mut RowWriter<'_>,
) {
    let (w, padded) = (&dense.windows, &prepared.padded);
    let (steps, width, columns) = (w.entries(), 2 * L::LANES, w.output[1]);
    let end = rows.end * columns;
    let place = |pixel: usize| padded.first(pixel / columns * w.stride, pixel % columns * w.stride);
    assert!(rows.end <= w.output[0] && padded.reads.len() == steps);
    assert!(place(end - 1) + padded.last_read < values.len());
    for first in (rows.start * columns..end).step_by(PIXELS) {
        let count = PIXELS.min(end - first);
        for panel in 0..dense.outputs.div_ceil(width) {
            for start in (0..steps).step_by(BLOCK) {
                let len = BLOCK.min(steps - start);
                let weights = match &prepared.panels {
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
                };
                let reads = &padded.reads[start..start + len];
                assert!(weights.len() == len * width && sums.len() >= count * width);
                for tile in (0..count).step_by(MR) {
                    // SAFETY: the caller guarantees the instructions. The largest read, of the last pixel, is inside `values`.
                    // `weights` has `width` entries a step, and `sums` has `width` entries a pixel.
                    unsafe {
                        let mut at = [values.as_ptr(); MR];
                        for (j, at) in at.iter_mut().enumerate() {
                            *at = at.add(place(first + (tile + j).min(count - 1)));
                        }
                        let mut tile_sums = [[L::splat(0.0); 2]; MR];
                        let mut weights = weights.as_ptr();
                        for read in reads {
                            let channels = [L::load(weights), L::load(weights.add(L::LANES))];
                            weights = weights.add(width);
                            for j in 0..MR {
                                let x = L::splat(*at[j].add(*read));
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
            let sums = &mut sums[..count * width];
            if dense.weight.bias.is_some() {
                sums.chunks_mut(width)
                    .for_each(|sums| dense.add_bias(channel, &mut sums[..channels]));
            }
            sink.write_pixels::<A>(first..first + count, channel..channel + channels, width, sums);
        }
    }
}
