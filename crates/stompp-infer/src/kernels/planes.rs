//! Counts differing bits by table lookup for AVX2, with pixels in the lanes of a vector. For images that fill the lanes.
//!
//! This is `lookup.rs` with exchanged roles: the weight nibbles of two output channels select the table, and the activation nibbles of
//! 32 pixels select its entries. Nothing is gathered: a tap of the kernel only shifts the address of a load. The image is staged as
//! planes, one for each 4 channels, with one byte a pixel. Padding is 0x80, for which a byte shuffle gives 0 with any table. The
//! missing counts of the padding are added to each pixel.
//!
//! Pixels are numbered across rows, including the padding between them, so a vector may hold the end of one row and the start of the
//! next. The lanes between them are computed and dropped.

mod layout;

use super::{
    lookup::{Counts, SPAN, Sums, add_three, table, widen},
    tail::{RowWriter, Values, bytes_of_pixel},
    window::Windows,
};
use alloc::{vec, vec::Vec};
use core::{arch::x86_64::*, ops::Range};
use layout::{PlaneLayout, put_pixels, take_bytes};

/// Pixels of a vector.
const LANES: usize = 32;
/// Vectors whose sums stay in registers.
const VECTORS: usize = 4;

/// A binary convolution on planes.
pub(super) struct Planes {
    layout: PlaneLayout,
    outputs: usize,
    /// For each step of a sum (tap and plane): the position of its first pixel.
    reads: Vec<usize>,
    /// The largest entry of `reads`.
    last_read: usize,
    /// For each pair of output channels and each step: the offset of its table.
    tables: Vec<u16>,
    /// A bit is set if the count is below the limit. One limit per channel; with a shortcut of signs, the limits for +1 follow.
    limits: Vec<i16>,
    /// For each pixel: half the number of products in the padding. Counting half of them as differing makes their sum 0.
    missing: Vec<i16>,
}

impl Planes {
    /// Whether this method is the faster one for a convolution with thresholds: its channels fill nibbles, and few lanes are dropped.
    pub(super) fn is_suitable(w: &Windows) -> bool {
        let layout = PlaneLayout::new(w);
        let pixels = w.output[0] * w.output[1];
        let lanes = (w.output[0] * layout.columns).next_multiple_of(LANES);
        let steps = w.kernel[0] * w.kernel[1] * w.input[0] / 4;
        w.input[0].is_multiple_of(4) && steps.is_multiple_of(3) && 4 * pixels >= 3 * lanes
    }

    /// Prepares a convolution. [`Planes::is_suitable`] must be true for it.
    pub(super) fn new(w: &Windows, outputs: usize, bits: &[u8], thresholds: &[i32]) -> Self {
        let layout = PlaneLayout::new(w);
        let of_pixel = bytes_of_pixel(w.input[0]);
        let taps = w.kernel[0] * w.kernel[1];
        let planes = w.input[0] / 4;
        let reads = (0..taps).flat_map(|tap| {
            let first = layout.at(tap / w.kernel[1], tap % w.kernel[1]);
            (0..planes).map(move |plane| plane * layout.plane() + first)
        });
        let reads: Vec<usize> = reads.collect();
        let nibble = |channel: usize, step: usize| {
            let (tap, plane) = (step / planes, step % planes);
            let byte = bits.get((channel * taps + tap) * of_pixel + plane / 2);
            u16::from(byte.copied().unwrap_or(0) >> (4 * (plane % 2)) & 15)
        };
        let tables = (0..outputs.div_ceil(2)).flat_map(|pair| {
            (0..taps * planes).map(move |step| nibble(2 * pair, step) << 4 | nibble(2 * pair + 1, step) << 8)
        });
        let products = w.entries() as i32;
        let limit = |threshold: &i32| {
            let most = (products - (*threshold).clamp(-products, products + 1)).div_euclid(2);
            (most + 1).clamp(0, i16::MAX.into()) as i16
        };
        let mut missing = vec![0; w.output[0] * layout.columns + VECTORS * LANES];
        for row in 0..w.output[0] {
            for column in 0..w.output[1] {
                let taps_outside = taps - w.rows(row).len() * w.columns(column).len();
                missing[row * layout.columns + column] = (taps_outside * w.input[0] / 2) as i16;
            }
        }
        Self {
            outputs,
            last_read: reads.iter().copied().max().unwrap_or(0),
            reads,
            tables: tables.collect(),
            limits: thresholds.iter().map(limit).collect(),
            missing,
            layout,
        }
    }

    /// Bytes of the staged image.
    pub(super) fn staged_len(&self) -> usize {
        self.layout.len()
    }

    /// Number of bytes that a task needs for the bits of the output and of the shortcut.
    pub(super) fn task_len(&self) -> usize {
        let lanes = self.missing.len().next_multiple_of(LANES);
        2 * bytes_of_pixel(self.outputs) * lanes
    }

    /// Prepares an image for all tasks.
    pub(super) fn stage(&self, input: &[u8], staged: &mut [u8]) {
        // SAFETY: a convolution is prepared for this only where AVX2 is.
        unsafe { self.layout.stage(input, staged) }
    }

    /// Computes `rows`.
    pub(super) fn run(
        &self,
        w: &Windows,
        rows: Range<usize>,
        staged: &[u8],
        memory: &mut [u8],
        sink: &mut RowWriter<'_>,
    ) {
        // SAFETY: a convolution is prepared for this only where AVX2 is.
        unsafe { self.run_avx2(w, rows, staged, memory, sink) }
    }

    #[target_feature(enable = "avx2")]
    fn run_avx2(&self, w: &Windows, rows: Range<usize>, staged: &[u8], memory: &mut [u8], sink: &mut RowWriter<'_>) {
        let (pitch, width) = (self.layout.columns, w.output[1]);
        let of_pixel = bytes_of_pixel(self.outputs);
        let first = rows.start * pitch;
        let vectors = ((rows.len() - 1) * pitch + width).div_ceil(LANES);
        let plane = vectors * LANES;
        let (out, residual) = memory[..2 * of_pixel * plane].split_at_mut(of_pixel * plane);
        if let (Some(Values::Bits(bytes)), true) = (sink.residual, self.limits.len() > self.outputs) {
            for row in rows.clone() {
                let from = &bytes[row * width * of_pixel..][..width * of_pixel];
                for byte in 0..of_pixel {
                    let to = &mut residual[byte * plane + (row - rows.start) * pitch..][..width];
                    take_bytes(from, of_pixel, byte, to, |byte| byte);
                }
            }
        }
        for byte in 0..of_pixel {
            let (out, residual) = (&mut out[byte * plane..][..plane], &residual[byte * plane..][..plane]);
            for vector in (0..vectors).step_by(VECTORS) {
                let at = first + vector * LANES;
                let block = &mut out[vector * LANES..];
                let residual = &residual[vector * LANES..];
                match vectors - vector {
                    1 => self.block::<1>(byte, at, staged, residual, block),
                    2 => self.block::<2>(byte, at, staged, residual, block),
                    3 => self.block::<3>(byte, at, staged, residual, block),
                    _ => self.block::<VECTORS>(byte, at, staged, residual, block),
                }
            }
        }
        let Some(bits) = &mut sink.bits else { return };
        for (row, to) in bits.chunks_exact_mut(width * of_pixel).take(rows.len()).enumerate() {
            put_pixels(&out[row * pitch..], plane, of_pixel, to);
        }
    }

    /// Computes eight output channels of `NV` vectors of pixels, starting at pixel `at`.
    #[inline]
    #[target_feature(enable = "avx2")]
    #[allow(clippy::needless_range_loop)] // The loops are unrolled, and several arrays share each index.
    fn block<const NV: usize>(&self, byte: usize, at: usize, staged: &[u8], residual: &[u8], out: &mut [u8]) {
        let zero = _mm256_setzero_si256();
        let steps = self.reads.len();
        assert!(steps.is_multiple_of(3) && residual.len() >= NV * LANES && out.len() >= NV * LANES);
        assert!(self.last_read + at + NV * LANES <= staged.len());
        let missing = &self.missing[at..][..NV * LANES];
        let mut start = [[zero; 2]; NV];
        for v in 0..NV {
            // SAFETY: `missing` has 32 entries for each vector.
            let (low, high) = unsafe {
                let low = missing.as_ptr().add(v * LANES);
                (_mm256_loadu_si256(low.cast()), _mm256_loadu_si256(low.add(16).cast()))
            };
            start[v] = [
                _mm256_permute2x128_si256::<0x20>(low, high),
                _mm256_permute2x128_si256::<0x31>(low, high),
            ];
        }
        let mut bits = [zero; NV];
        for pair in (4 * byte..4 * byte + 4).take_while(|pair| 2 * pair < self.outputs) {
            let tables = &self.tables[pair * steps..][..steps];
            let mut counts = [[[[zero; 2]; 2]; NV]; 1];
            for (counts, start) in counts[0].iter_mut().zip(start) {
                *counts = [start; 2];
            }
            for span in (0..steps).step_by(SPAN) {
                let mut sums = Sums::<NV, 1>::new();
                for step in (span..steps.min(span + SPAN)).step_by(3) {
                    let mut of_weights = [zero; 3];
                    let mut pixels = [[zero; NV]; 3];
                    for k in 0..3 {
                        of_weights[k] = _mm256_broadcastsi128_si256(table(tables[step + k]));
                        let read = self.reads[step + k] + at;
                        for v in 0..NV {
                            // SAFETY: the assertion above checks the largest read.
                            pixels[k][v] = unsafe { _mm256_loadu_si256(staged.as_ptr().add(read + v * LANES).cast()) };
                        }
                    }
                    for v in 0..NV {
                        add_three!(sums, 0, v, of_weights, pixels);
                    }
                }
                widen(&sums, &mut counts);
            }
            for (half, channel) in [2 * pair, 2 * pair + 1].into_iter().enumerate() {
                if channel < self.outputs {
                    let bit = _mm256_set1_epi8(1 << (channel % 8));
                    let minus = _mm256_set1_epi16(self.limits[channel]);
                    let plus = self.limits.get(self.outputs + channel);
                    for v in 0..NV {
                        let mut limits = [minus; 2];
                        if let Some(plus) = plus {
                            // SAFETY: the shortcut has 32 bytes for each vector.
                            let residual = unsafe { _mm256_loadu_si256(residual.as_ptr().add(v * LANES).cast()) };
                            limits = choose(residual, bit, minus, _mm256_set1_epi16(*plus));
                        }
                        let below = below(&counts[0][v][half], limits);
                        bits[v] = _mm256_or_si256(bits[v], _mm256_and_si256(below, bit));
                    }
                }
            }
        }
        for (v, bits) in bits.into_iter().enumerate() {
            // SAFETY: `out` has 32 bytes for each vector.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(v * LANES).cast(), bits) }
        }
    }
}

/// Selects `plus` for the pixels whose byte has `bit`, and `minus` for the others. The result has the order of [`Counts`].
#[inline]
#[target_feature(enable = "avx2")]
fn choose(bytes: __m256i, bit: __m256i, minus: __m256i, plus: __m256i) -> Counts {
    let is_plus = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    [
        _mm256_blendv_epi8(minus, plus, _mm256_unpacklo_epi8(is_plus, is_plus)),
        _mm256_blendv_epi8(minus, plus, _mm256_unpackhi_epi8(is_plus, is_plus)),
    ]
}

/// Compares counts with limits: 0xFF for the pixels whose count is below its limit, else 0.
#[inline]
#[target_feature(enable = "avx2")]
fn below(counts: &Counts, limits: Counts) -> __m256i {
    _mm256_packs_epi16(
        _mm256_cmpgt_epi16(limits[0], counts[0]),
        _mm256_cmpgt_epi16(limits[1], counts[1]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernels::{
            binary::{BinaryConv, StagedBits, TaskBuffers},
            tail::{Activation, Tail},
        },
        simd::SimdLevel,
    };
    use proptest::prelude::*;

    prop_compose! {
        fn windows()(kernel in prop::sample::select(vec![1_usize, 2, 3, 6]))(
            channels in (1..=10_usize).prop_map(move |n| if kernel % 3 == 0 { 4 * n } else { 12 * n }),
            height in 1..40_usize,
            width in 1..40_usize,
            stride in 1..=3_usize,
            padding in 0..kernel,
            kernel in Just(kernel),
        ) -> Windows {
            let out = |side: usize| (side + 2 * padding).checked_sub(kernel).map_or(0, |left| left / stride + 1);
            Windows {
                input: [channels, height, width],
                kernel: [kernel; 2],
                stride,
                padding,
                output: [out(height), out(width)],
            }
        }
    }

    /// Computes the bits of all rows in two tasks.
    fn run(
        w: &Windows,
        outputs: usize,
        residual: Option<&[u8]>,
        row: impl Fn(Range<usize>, &mut RowWriter<'_>),
    ) -> Vec<u8> {
        let of_row = w.output[1] * bytes_of_pixel(outputs);
        let mut bits = vec![0; w.output[0] * of_row];
        let tail = Tail {
            affine: None,
            activation: Activation::None,
        };
        let middle = w.output[0] / 2;
        let (first, second) = bits.split_at_mut(middle * of_row);
        for (rows, bits) in [(0..middle, first), (middle..w.output[0], second)] {
            let mut sink = RowWriter {
                tail: &tail,
                channels: outputs,
                pixels: w.output[0] * w.output[1],
                first: rows.start * w.output[1],
                residual: residual.map(Values::Bits),
                floats: None,
                bits: Some(bits),
            };
            if !rows.is_empty() {
                row(rows, &mut sink);
            }
        }
        bits
    }

    proptest! {
        #[test]
        fn bits_are_those_of_the_portable_way(
            w in windows(),
            outputs in 1..40_usize,
            has_shortcut: bool,
            bytes in prop::collection::vec(any::<u8>(), 1..200),
        ) {
            prop_assume!(w.output[0] * w.output[1] > 0 && SimdLevel::Avx2.is_supported());
            // Bits past the last channel are always 0.
            let pixels = |count: usize, channels: usize| -> Vec<u8> {
                let of_pixel = bytes_of_pixel(channels);
                let mask = |byte: usize| u8::MAX >> (8 * (byte + 1)).saturating_sub(channels).min(7);
                (0..count * of_pixel).map(|i| bytes[i % bytes.len()] & mask(i % of_pixel)).collect()
            };
            let area = w.kernel[0] * w.kernel[1];
            let weight = pixels(outputs * area, w.input[0]);
            let input = pixels(w.input[1] * w.input[2], w.input[0]);
            let shortcut = pixels(w.output[0] * w.output[1], outputs);
            let variants = if has_shortcut { 2 } else { 1 };
            let thresholds: Vec<i32> = (0..variants * outputs).map(|i| i32::from(bytes[i % bytes.len()] as i8) / 8).collect();
            let residual = has_shortcut.then_some(&shortcut[..]);

            let portable = BinaryConv::new(SimdLevel::Portable, w, outputs, &weight, 0..weight.len(), Some(thresholds.clone()));
            let expected = run(&w, outputs, residual, |rows, sink| {
                let input = StagedBits { bits: &input, staged: &[], table: &[] };
                let task = TaskBuffers { words: &mut [], offsets: &mut [], bytes: &mut [] };
                portable.run(&weight, rows, input, task, sink);
            });
            let planes = Planes::new(&w, outputs, &weight, &thresholds);
            let mut staged = vec![7; planes.staged_len()];
            planes.stage(&input, &mut staged);
            let found = run(&w, outputs, residual, |rows, sink| {
                planes.run(&w, rows, &staged, &mut vec![9; planes.task_len()], sink);
            });
            prop_assert_eq!(found, expected);
        }
    }
}
