//! Counts differing bits by table lookup for AVX2, which has no instruction that counts bits.
//!
//! Each byte of a weight vector is a nibble: 4 input channels of one output channel. A vector has 32 output channels. The activation
//! nibbles `a` and `b` of two neighbouring output pixels select one of 256 tables of 16 bytes. The low half of entry `w` in table
//! `(a, b)` is the number of bits in which `a` and `w` differ; the high half is the number for `b` and `w`. One byte shuffle of the
//! table by a vector of weights computes 4 channels x 32 kernels x 2 pixels = 256 products. With at most 16 output channels, a vector
//! has 16 channels for two pairs of pixels.

mod counts;

pub(super) use counts::{Counts, SPAN, Sums, add_three, table, widen};

use super::{
    binary::{Borders, PaddedLayout},
    tail::{Fma, RowWriter, bytes_of_pixel},
    window::Windows,
};
use alloc::{vec, vec::Vec};
use core::ops::Range;
use counts::{below, choose, limits_of, store, store_half, tile, tile_narrow};

/// Pairs of pixels whose offsets are gathered together. The weights are read once for all of them.
const PAIRS: usize = 16;

/// Weights of a binary convolution as nibbles.
pub(super) struct Lookup {
    borders: Borders,
    outputs: usize,
    /// Nibbles of a patch, padded to a multiple of three.
    steps: usize,
    /// The nibbles of each vector of channels, (step, channel).
    nibbles: Vec<u8>,
    /// Channels of a vector: 32, or 16 if there are at most 16 output channels.
    lanes: usize,
}

/// Computes two table offsets for each byte of the padded image. Each offset combines a nibble of the byte with the same nibble for
/// the next output pixel.
pub(super) fn tables(staging: &PaddedLayout, staged: &[u8], table: &mut [u32]) {
    let len = staging.padded();
    // SAFETY: a convolution is prepared for lookups only if the machine has AVX2.
    unsafe { tables_avx2(&staged[..len], &staged[staging.step..][..len], &mut table[..len]) }
}

#[target_feature(enable = "avx2")]
fn tables_avx2(first: &[u8], second: &[u8], table: &mut [u32]) {
    for ((a, b), table) in first.iter().zip(second).zip(table) {
        let (a, b) = (u32::from(*a), u32::from(*b));
        *table = (a & 15) << 4 | (b & 15) << 8 | (a & 0xF0) << 16 | (b & 0xF0) << 20;
    }
}

impl Lookup {
    pub(super) fn new(w: &Windows, outputs: usize, bits: &[u8], thresholds: Option<&[i32]>) -> Self {
        let lanes = if outputs > 16 { 32 } else { 16 };
        let kernel = w.kernel[0] * w.kernel[1] * bytes_of_pixel(w.input[0]);
        let steps = (2 * kernel).next_multiple_of(3);
        let filled = outputs.next_multiple_of(lanes);
        let mut nibbles = vec![0; steps * filled];
        for (channel, kernel) in bits.chunks(kernel).enumerate() {
            let column = nibbles[channel / lanes * lanes * steps + channel % lanes..]
                .iter_mut()
                .step_by(lanes);
            let of_kernel = kernel.iter().flat_map(|byte| [byte & 15, byte >> 4]);
            column.zip(of_kernel).for_each(|(to, from)| *to = from);
        }
        Self {
            borders: Borders::new(w, outputs, filled, bits, thresholds),
            outputs,
            steps,
            nibbles,
            lanes,
        }
    }

    /// Number of offsets that a task needs.
    pub(super) fn task_len(&self) -> usize {
        PAIRS * self.steps
    }

    /// Computes `rows`.
    pub(super) fn run(
        &self,
        w: &Windows,
        rows: Range<usize>,
        table: &[u32],
        offsets: &mut [u16],
        sink: &mut RowWriter<'_>,
    ) {
        // SAFETY: a convolution is prepared for lookups only if the machine has AVX2 and FMA.
        unsafe { self.run_avx2(w, rows, table, offsets, sink) }
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_avx2(&self, w: &Windows, rows: Range<usize>, table: &[u32], offsets: &mut [u16], sink: &mut RowWriter<'_>) {
        let of_row = w.output[1].div_ceil(2);
        let staging = PaddedLayout::new(w);
        let end = rows.end * of_row;
        let offsets = &mut offsets[..PAIRS * self.steps];
        let vectors = self.nibbles.len() / (self.steps * self.lanes);
        for first in (rows.start * of_row..end).step_by(PAIRS) {
            let count = PAIRS.min(end - first);
            for (pair, offsets) in (first..first + count).zip(offsets.chunks_mut(self.steps)) {
                self.gather(w, &staging, table, pair / of_row, pair % of_row * 2, offsets);
            }
            let place = |pair: usize| {
                let pair = first + pair;
                (pair / of_row, pair % of_row * 2)
            };
            if self.lanes == 16 {
                for pair in (0..count).step_by(4) {
                    let pairs = [0, 1, 2, 3].map(|i| (pair + i).min(count - 1));
                    let at = pairs.map(|pair| &offsets[pair * self.steps..][..self.steps]);
                    let counts = tile_narrow([[at[0], at[1]], [at[2], at[3]]], &self.nibbles);
                    for (double, counts) in counts.iter().enumerate() {
                        let here = 2 * double;
                        if pair + here < count {
                            let second = (pair + here + 1 < count).then(|| place(pairs[here + 1]));
                            self.finish_narrow(w, place(pairs[here]), second, counts, sink);
                        }
                    }
                }
                continue;
            }
            let mut vector = 0;
            while vector < vectors {
                let of_vector = self.steps * self.lanes;
                let nibbles = &self.nibbles[vector * of_vector..];
                if vector + 1 < vectors {
                    for pair in (0..count).step_by(2) {
                        let pairs = [pair, (pair + 1).min(count - 1)];
                        let at = pairs.map(|pair| &offsets[pair * self.steps..][..self.steps]);
                        let counts = tile::<2, 2>(at, [&nibbles[..of_vector], &nibbles[of_vector..2 * of_vector]]);
                        for (pair, counts) in (pair..count).zip(&counts) {
                            self.finish(w, place(pair), vector, &counts[0], sink);
                            self.finish(w, place(pair), vector + 1, &counts[1], sink);
                        }
                    }
                    vector += 2;
                } else {
                    for pair in (0..count).step_by(4) {
                        let pairs = [0, 1, 2, 3].map(|i| (pair + i).min(count - 1));
                        let at = pairs.map(|pair| &offsets[pair * self.steps..][..self.steps]);
                        let counts = tile::<1, 4>(at, [&nibbles[..of_vector]]);
                        for (pair, counts) in (pair..count).zip(&counts) {
                            self.finish(w, place(pair), vector, &counts[0], sink);
                        }
                    }
                    vector += 1;
                }
            }
        }
    }

    /// Collects the offsets of a patch. The taps in one row of the kernel are neighbours in the table.
    #[inline(always)]
    fn gather(
        &self,
        w: &Windows,
        staging: &PaddedLayout,
        table: &[u32],
        row: usize,
        column: usize,
        offsets: &mut [u16],
    ) {
        let of_row = w.kernel[1] * staging.of_pixel;
        for tap in 0..w.kernel[0] {
            let from = (row * w.stride + tap) * staging.row + column * staging.step;
            let (from, to) = (&table[from..][..of_row], &mut offsets[2 * tap * of_row..][..2 * of_row]);
            for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from) {
                *to = [*from as u16, (*from >> 16) as u16];
            }
        }
        // The nibbles after the patch are zero in weights and activations.
        offsets[2 * w.kernel[0] * of_row..].fill(0);
    }

    /// Writes the results for the counts of 32 channels of a pair of pixels.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn finish(
        &self,
        w: &Windows,
        (row, column): (usize, usize),
        vector: usize,
        counts: &[Counts; 2],
        sink: &mut RowWriter,
    ) {
        let first = vector * 32;
        for (column, counts) in (column..w.output[1]).zip(counts) {
            let pixel = row * w.output[1] + column;
            if self.borders.variants == 0 {
                let mut sums = [0.0; 32];
                store(counts, &self.borders.bases(row, column)[first..][..32], &mut sums);
                let count = 32.min(self.outputs - first);
                sink.write::<Fma>(pixel, first, &mut sums[..count]);
                continue;
            }
            let limits = self.borders.limits(row, column);
            let variant = |number: usize| {
                let limits: &[i16; 32] = limits[number * self.borders.lanes + first..]
                    .first_chunk()
                    .expect("whole vectors");
                let (low, high) = limits.split_at(16);
                limits_of([low, high])
            };
            let mut limits = variant(0);
            if self.borders.variants == 2 {
                limits = choose(sink.residual_bits(pixel, first), limits, variant(1));
            }
            sink.write_bits(pixel, first, below(counts, limits));
        }
    }

    /// Writes the results for the counts of 16 channels of two pairs of pixels.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn finish_narrow(
        &self,
        w: &Windows,
        here: (usize, usize),
        there: Option<(usize, usize)>,
        counts: &[Counts; 2],
        sink: &mut RowWriter,
    ) {
        let there_or_here = there.unwrap_or(here);
        for (second, counts) in counts.iter().enumerate() {
            // In a row of odd length, the last pixel is also used as the second pixel of its pair.
            let place = |(row, column): (usize, usize)| (row, (column + second).min(w.output[1] - 1));
            let places = [place(here), place(there_or_here)];
            let is_there = [
                here.1 + second < w.output[1],
                there.is_some_and(|at| at.1 + second < w.output[1]),
            ];
            let pixels = places.map(|(row, column)| row * w.output[1] + column);
            if self.borders.variants == 0 {
                for half in [0, 1] {
                    if is_there[half] {
                        let mut sums = [0.0; 16];
                        let (row, column) = places[half];
                        store_half(counts, half == 1, self.borders.bases(row, column), &mut sums);
                        sink.write::<Fma>(pixels[half], 0, &mut sums[..self.outputs]);
                    }
                }
                continue;
            }
            let limits = places.map(|(row, column)| self.borders.limits(row, column));
            let mut chosen = limits_of([&limits[0][..16], &limits[1][..16]]);
            if self.borders.variants == 2 {
                let residual = pixels.map(|pixel| sink.residual_bits(pixel, 0) & 0xFFFF);
                let other = limits_of([&limits[0][16..32], &limits[1][16..32]]);
                chosen = choose(residual[0] | residual[1] << 16, chosen, other);
            }
            let bits = below(counts, chosen);
            for (half, bits) in [bits & 0xFFFF, bits >> 16].into_iter().enumerate() {
                if is_there[half] {
                    sink.write_bits(pixels[half], 0, bits);
                }
            }
        }
    }
}
