//! Counts differing bits with AVX-512 VPOPCNTDQ: 8 output channels a vector, one word of a patch at a time.
//!
//! The bytes of one row of the kernel are contiguous in the padded image. With few channels, a word holds several pixels: with 16
//! channels and a 3x3 kernel, a patch has 3 words.

use super::{
    binary::{Borders, PaddedLayout},
    tail::{Fma, RowWriter, bytes_of_pixel},
    window::Windows,
};
use alloc::{vec, vec::Vec};
use core::{arch::x86_64::*, ops::Range};

/// Output channels of a vector.
const LANES: usize = 8;
/// Patches that are gathered together. The weights are read once for all of them.
const PIXELS: usize = 32;

/// Weights of a binary convolution as words.
pub(super) struct Popcount {
    borders: Borders,
    outputs: usize,
    /// Words of a patch.
    steps: usize,
    /// Output channels of a panel: 16 or 32.
    width: usize,
    /// The words of each panel, (step, channel).
    words: Vec<u64>,
}

/// Splits the bytes of one row of a kernel into words. The last word is padded with zeros.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(8).map(|bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    })
}

impl Popcount {
    pub(super) fn new(w: &Windows, outputs: usize, bits: &[u8], thresholds: Option<&[i32]>) -> Self {
        let width = if outputs > 16 { 32 } else { 16 };
        let of_row = w.kernel[1] * bytes_of_pixel(w.input[0]);
        let steps = w.kernel[0] * of_row.div_ceil(8);
        let filled = outputs.next_multiple_of(width);
        let mut panels = vec![0; steps * filled];
        for (channel, kernel) in bits.chunks(w.kernel[0] * of_row).enumerate() {
            let column = panels[channel / width * width * steps + channel % width..]
                .iter_mut()
                .step_by(width);
            column
                .zip(kernel.chunks(of_row).flat_map(words))
                .for_each(|(to, from)| *to = from);
        }
        Self {
            borders: Borders::new(w, outputs, filled, bits, thresholds),
            outputs,
            steps,
            width,
            words: panels,
        }
    }

    /// Number of words that a task needs.
    pub(super) fn task_len(&self) -> usize {
        PIXELS * self.steps
    }

    /// Computes `rows`.
    pub(super) fn run(
        &self,
        w: &Windows,
        rows: Range<usize>,
        staged: &[u8],
        patches: &mut [u64],
        sink: &mut RowWriter<'_>,
    ) {
        // SAFETY: a convolution is prepared for this only if the machine has these parts of AVX-512, AVX2 and FMA.
        unsafe {
            match self.width {
                32 => self.run_tiles::<4, 4>(w, rows, staged, patches, sink),
                _ => self.run_tiles::<8, 2>(w, rows, staged, patches, sink),
            }
        }
    }

    /// Computes tiles of `MR` pixels and `NV` vectors of channels. The 16 counts of a tile stay in registers.
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")]
    fn run_tiles<const MR: usize, const NV: usize>(
        &self,
        w: &Windows,
        rows: Range<usize>,
        staged: &[u8],
        patches: &mut [u64],
        sink: &mut RowWriter<'_>,
    ) {
        let staging = PaddedLayout::new(w);
        let columns = w.output[1];
        let end = rows.end * columns;
        for first in (rows.start * columns..end).step_by(PIXELS) {
            let count = PIXELS.min(end - first);
            for (pixel, patch) in (first..first + count).zip(patches.chunks_mut(self.steps)) {
                gather(w, &staging, staged, pixel / columns, pixel % columns, patch);
            }
            for (panel, of_panel) in self.words.chunks(self.steps * self.width).enumerate() {
                for tile in (0..count).step_by(MR) {
                    let mut differing = [[_mm512_setzero_si512(); NV]; MR];
                    // Pointers, not indices: the compiler would put the sums of 8 indices into vectors.
                    let mut at = [patches.as_ptr(); MR];
                    for (j, at) in at.iter_mut().enumerate() {
                        let patch = (tile + j).min(count - 1);
                        *at = patches[patch * self.steps..][..self.steps].as_ptr();
                    }
                    for step in 0..self.steps {
                        let mut channels = [_mm512_setzero_si512(); NV];
                        for (v, channels) in channels.iter_mut().enumerate() {
                            // SAFETY: the panel has `NV` vectors a step.
                            *channels =
                                unsafe { _mm512_loadu_si512(of_panel.as_ptr().add((step * NV + v) * LANES).cast()) };
                        }
                        for j in 0..MR {
                            // SAFETY: each patch has `steps` words.
                            let pixel = _mm512_set1_epi64(unsafe { *at[j].add(step) } as i64);
                            for v in 0..NV {
                                let count = _mm512_popcnt_epi64(_mm512_xor_si512(pixel, channels[v]));
                                differing[j][v] = _mm512_add_epi64(differing[j][v], count);
                            }
                        }
                    }
                    for (pixel, differing) in (first + tile..first + count).zip(&differing) {
                        self.finish(columns, pixel, panel * self.width, differing, sink);
                    }
                }
            }
        }
    }

    /// Writes the results for the counts of a panel for one pixel.
    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")]
    fn finish<const NV: usize>(
        &self,
        columns: usize,
        pixel: usize,
        first: usize,
        differing: &[__m512i; NV],
        sink: &mut RowWriter,
    ) {
        let (row, column) = (pixel / columns, pixel % columns);
        if self.borders.variants == 0 {
            let bases = &self.borders.bases(row, column)[first..][..NV * LANES];
            let mut sums = [0.0; 32];
            for (v, differing) in differing.iter().enumerate() {
                // SAFETY: `bases` has `NV` vectors, and `sums` four, of 8 floats each.
                unsafe {
                    let bases = _mm256_loadu_ps(bases.as_ptr().add(v * LANES));
                    let sum = _mm256_fnmadd_ps(_mm512_cvtepi64_ps(*differing), _mm256_set1_ps(2.0), bases);
                    _mm256_storeu_ps(sums.as_mut_ptr().add(v * LANES), sum);
                }
            }
            let count = (NV * LANES).min(self.outputs - first);
            sink.write::<Fma>(pixel, first, &mut sums[..count]);
            return;
        }
        let limits = self.borders.limits(row, column);
        let residual = sink.residual_bits(pixel, first);
        let mut bits = 0;
        for (v, differing) in differing.iter().enumerate() {
            let variant = |number: usize| {
                let limits = limits[number * self.borders.lanes + first + v * LANES..].first_chunk::<LANES>();
                let limits = limits.expect("whole vectors").as_ptr();
                // SAFETY: 8 numbers are read.
                unsafe { _mm512_cvtepi16_epi64(_mm_loadu_si128(limits.cast())) }
            };
            let mut limits = variant(0);
            if self.borders.variants == 2 {
                limits = _mm512_mask_blend_epi64((residual >> (v * LANES)) as u8, limits, variant(1));
            }
            bits |= u32::from(_mm512_cmplt_epi64_mask(*differing, limits)) << (v * LANES);
        }
        sink.write_bits(pixel, first, bits);
    }
}

/// Collects the words of a patch.
#[inline(always)]
fn gather(w: &Windows, staging: &PaddedLayout, staged: &[u8], row: usize, column: usize, patch: &mut [u64]) {
    let of_row = w.kernel[1] * staging.of_pixel;
    let words = of_row.div_ceil(8);
    // The last word of a row also reads bytes of the next pixels, which the mask removes.
    let mask = u64::MAX >> (64 * words - 8 * of_row);
    for (tap, patch) in patch.chunks_mut(words).enumerate() {
        let from = (row * w.stride + tap) * staging.row + column * staging.step;
        // Eight bytes follow the image, so whole words can be read.
        for (number, word) in patch.iter_mut().enumerate() {
            let bytes = staged[from + 8 * number..]
                .first_chunk()
                .expect("the image is followed by 8 bytes");
            *word = u64::from_le_bytes(*bytes);
        }
        patch[words - 1] &= mask;
    }
}
