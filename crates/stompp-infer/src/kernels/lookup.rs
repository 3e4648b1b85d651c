//! Counting differing bits by table lookup, for AVX2, which cannot count bits.
//!
//! Weights are nibbles: 4 input channels a byte, 32 output channels a vector. The activation nibbles `a` and `b` of two neighbouring
//! output pixels choose one of 256 tables of 16 bytes. Entry `w` of table `(a, b)` holds in its low half in how many bits `a` and `w`
//! differ, in its high half the same for `b` and `w`. One byte shuffle of the table by a vector of weights so does 4 channels x 32
//! kernels x 2 pixels: 256 multiplications. Up to 16 output channels, a vector has 16 channels of two such pairs of pixels.

use super::{
    binary::{Borders, Staging},
    tail::{Fused, Sink, bytes_of_pixel},
    window::Windows,
};
use alloc::{vec, vec::Vec};
use core::{arch::x86_64::*, ops::Range};

/// Pairs of pixels whose offsets are gathered together: weights are read once for all of them.
const PAIRS: usize = 16;
/// Steps between widenings: sums of a third as many lookups of three, each at most 12, fit a byte.
pub(super) const SPAN: usize = 48;

/// Weights of a binary convolution as nibbles.
pub(super) struct Lookup {
    borders: Borders,
    outputs: usize,
    /// Nibbles of a patch, filled up to a multiple of three.
    steps: usize,
    /// For each vector of channels: (step, channel).
    nibbles: Vec<u8>,
    /// Channels of a vector: 32, or 16 where there are no more.
    lanes: usize,
}

/// Entry `w` of table `16 b + a`.
#[repr(align(64))]
struct Tables([[u8; 16]; 256]);

static TABLES: Tables = Tables(lookup_tables());

const fn lookup_tables() -> [[u8; 16]; 256] {
    let mut tables = [[0; 16]; 256];
    let mut i = 0;
    while i < 256 * 16 {
        let (table, w) = (i / 16, i % 16);
        let (a, b) = (table % 16, table / 16);
        tables[table][w] = ((a ^ w).count_ones() | (b ^ w).count_ones() << 4) as u8;
        i += 1;
    }
    tables
}

/// For each byte of the padded image the offsets of two tables, those of its nibbles and of the next output pixel's.
pub(super) fn tables(staging: &Staging, staged: &[u8], table: &mut [u32]) {
    let len = staging.padded();
    // SAFETY: a convolution is prepared for lookups only where AVX2 is.
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

    /// Offsets that a task needs.
    pub(super) fn task_len(&self) -> usize {
        PAIRS * self.steps
    }

    /// Computes `rows`.
    pub(super) fn run(&self, w: &Windows, rows: Range<usize>, table: &[u32], offsets: &mut [u16], sink: &mut Sink<'_>) {
        // SAFETY: a convolution is prepared for lookups only where AVX2 and FMA are.
        unsafe { self.run_avx2(w, rows, table, offsets, sink) }
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_avx2(&self, w: &Windows, rows: Range<usize>, table: &[u32], offsets: &mut [u16], sink: &mut Sink<'_>) {
        let of_row = w.output[1].div_ceil(2);
        let staging = Staging::new(w);
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

    /// The offsets of a patch: those of the taps of a kernel's row are neighbours in the table, too.
    #[inline(always)]
    fn gather(&self, w: &Windows, staging: &Staging, table: &[u32], row: usize, column: usize, offsets: &mut [u16]) {
        let of_row = w.kernel[1] * staging.of_pixel;
        for tap in 0..w.kernel[0] {
            let from = (row * w.stride + tap) * staging.row + column * staging.step;
            let (from, to) = (&table[from..][..of_row], &mut offsets[2 * tap * of_row..][..2 * of_row]);
            for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from) {
                *to = [*from as u16, (*from >> 16) as u16];
            }
        }
        // Nibbles past the patch are zeros on both sides.
        offsets[2 * w.kernel[0] * of_row..].fill(0);
    }

    /// Takes the counts of 32 channels of a pair of pixels.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn finish(&self, w: &Windows, (row, column): (usize, usize), vector: usize, counts: &[Counts; 2], sink: &mut Sink) {
        let first = vector * 32;
        for (column, counts) in (column..w.output[1]).zip(counts) {
            let pixel = row * w.output[1] + column;
            if self.borders.variants == 0 {
                let mut sums = [0.0; 32];
                store(counts, &self.borders.bases(row, column)[first..][..32], &mut sums);
                let count = 32.min(self.outputs - first);
                sink.put::<Fused>(pixel, first, &mut sums[..count]);
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
            sink.put_bits(pixel, first, below(counts, limits));
        }
    }

    /// Takes the counts of 16 channels of two pairs of pixels.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn finish_narrow(
        &self,
        w: &Windows,
        here: (usize, usize),
        there: Option<(usize, usize)>,
        counts: &[Counts; 2],
        sink: &mut Sink,
    ) {
        let there_or_here = there.unwrap_or(here);
        for (second, counts) in counts.iter().enumerate() {
            // Past the end of a row of odd length, the pixel before stands in.
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
                        sink.put::<Fused>(pixels[half], 0, &mut sums[..self.outputs]);
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
                    sink.put_bits(pixels[half], 0, bits);
                }
            }
        }
    }
}

/// Counts of 32 lanes, 16 bits each: of bytes 0..8 and 16..24, and of the others, as unpacking bytes leaves them.
pub(super) type Counts = [__m256i; 2];

/// The limits of lanes 0..16 and 16..32, in the order of [`Counts`]. Each half has at least 16.
#[inline]
#[target_feature(enable = "avx2")]
fn limits_of([low, high]: [&[i16]; 2]) -> Counts {
    let (low, high): (&[i16; 16], &[i16; 16]) = match (low.first_chunk(), high.first_chunk()) {
        (Some(low), Some(high)) => (low, high),
        _ => unreachable!("whole vectors"),
    };
    // SAFETY: 8 numbers each are read of arrays of 16.
    unsafe {
        let load = |half: &[i16; 16], at: usize| _mm_loadu_si128(half.as_ptr().add(at).cast());
        [
            _mm256_set_m128i(load(high, 0), load(low, 0)),
            _mm256_set_m128i(load(high, 8), load(low, 8)),
        ]
    }
}

/// `plus` in the lanes whose bit is set, else `minus`.
#[inline]
#[target_feature(enable = "avx2")]
fn choose(bits: u32, minus: Counts, plus: Counts) -> Counts {
    let bits = _mm256_set1_epi32(bits as i32);
    // The byte that has the bits of each 8 lanes.
    let bytes = [
        _mm256_set_m128i(_mm_set1_epi8(2), _mm_set1_epi8(0)),
        _mm256_set_m128i(_mm_set1_epi8(3), _mm_set1_epi8(1)),
    ];
    let lane = _mm256_set1_epi64x(0x0008_0004_0002_0001);
    let lane = _mm256_blend_epi32::<0b1100_1100>(lane, _mm256_slli_epi16::<4>(lane));
    let one = |half: usize| {
        let of_lane = _mm256_and_si256(_mm256_shuffle_epi8(bits, bytes[half]), lane);
        _mm256_blendv_epi8(minus[half], plus[half], _mm256_cmpeq_epi16(of_lane, lane))
    };
    [one(0), one(1)]
}

/// Bit `i` is whether the count of lane `i` is below its limit.
#[inline]
#[target_feature(enable = "avx2")]
fn below(counts: &Counts, limits: Counts) -> u32 {
    let (low, high) = (
        _mm256_cmpgt_epi16(limits[0], counts[0]),
        _mm256_cmpgt_epi16(limits[1], counts[1]),
    );
    _mm256_movemask_epi8(_mm256_packs_epi16(low, high)) as u32
}

/// `sums = bases - 2 counts` of all 32 lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(counts: &Counts, bases: &[f32], sums: &mut [f32; 32]) {
    let (low, high) = sums.split_at_mut(16);
    store_half(counts, false, &bases[..16], low.first_chunk_mut().expect("16 of 32"));
    store_half(counts, true, &bases[16..], high.first_chunk_mut().expect("16 of 32"));
}

/// The same of lanes 0..16, or 16..32 if `upper`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_half(counts: &Counts, upper: bool, bases: &[f32], sums: &mut [f32; 16]) {
    let (bases, sums) = (bases[..16].as_chunks::<8>().0, sums.as_chunks_mut::<8>().0);
    for ((counts, bases), sums) in counts.iter().zip(bases).zip(sums) {
        let part = if upper {
            _mm256_extracti128_si256::<1>(*counts)
        } else {
            _mm256_castsi256_si128(*counts)
        };
        let counts = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(part));
        // SAFETY: both are 8 floats.
        unsafe {
            let bases = _mm256_loadu_ps(bases.as_ptr());
            _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_fnmadd_ps(counts, _mm256_set1_ps(2.0), bases));
        }
    }
}

/// Sums of bytes for lookups of `NV` vectors and `NP` tables, and what they add up to.
pub(super) struct Sums<const NV: usize, const NP: usize> {
    /// Sums of whole bytes, modulo 256.
    pub(super) bytes: [[__m256i; NV]; NP],
    /// Sums of their high halves alone.
    pub(super) highs: [[__m256i; NV]; NP],
}

impl<const NV: usize, const NP: usize> Sums<NV, NP> {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new() -> Self {
        let zero = _mm256_setzero_si256();
        Self {
            bytes: [[zero; NV]; NP],
            highs: [[zero; NV]; NP],
        }
    }
}

/// Adds three lookups: `tables[p][k]` by `weights[k][v]`.
macro_rules! add_three {
    ($sums:expr, $p:expr, $v:expr, $tables:expr, $weights:expr) => {{
        let [a, b, c] = [0, 1, 2].map(
            #[inline(always)]
            |k: usize| _mm256_shuffle_epi8($tables[k], $weights[k][$v]),
        );
        let sum = _mm256_add_epi8(_mm256_add_epi8(a, b), c);
        $sums.bytes[$p][$v] = _mm256_add_epi8($sums.bytes[$p][$v], sum);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(sum), _mm256_set1_epi8(15));
        $sums.highs[$p][$v] = _mm256_add_epi8($sums.highs[$p][$v], high);
    }};
}

pub(super) use add_three;

/// Adds the sums of bytes to counts of 16 bits, for both pixels of each pair.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn widen<const NV: usize, const NP: usize>(sums: &Sums<NV, NP>, counts: &mut [[[Counts; 2]; NV]; NP]) {
    let (zero, low_half) = (_mm256_setzero_si256(), _mm256_set1_epi8(15));
    for p in 0..NP {
        for v in 0..NV {
            let high = sums.highs[p][v];
            let shifted = _mm256_slli_epi16::<4>(_mm256_and_si256(high, low_half));
            let low = _mm256_sub_epi8(sums.bytes[p][v], shifted);
            for (counts, bytes) in counts[p][v].iter_mut().zip([low, high]) {
                counts[0] = _mm256_add_epi16(counts[0], _mm256_unpacklo_epi8(bytes, zero));
                counts[1] = _mm256_add_epi16(counts[1], _mm256_unpackhi_epi8(bytes, zero));
            }
        }
    }
}

/// The table at `offset`. Offsets are multiples of 16 below 4096.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn table(offset: u16) -> __m128i {
    // SAFETY: the mask keeps any offset inside the tables, which are aligned.
    unsafe { _mm_load_si128(TABLES.0.as_ptr().cast::<u8>().add(usize::from(offset & 0xFF0)).cast()) }
}

/// Counts for `NP` pairs of pixels and `NV` vectors of channels, each vector with 32 bytes a step.
#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::needless_range_loop)] // The loops are unrolled, and several arrays share each index.
fn tile<const NV: usize, const NP: usize>(offsets: [&[u16]; NP], nibbles: [&[u8]; NV]) -> [[[Counts; 2]; NV]; NP] {
    let zero = _mm256_setzero_si256();
    let mut counts = [[[[zero; 2]; 2]; NV]; NP];
    let steps = offsets[0].len();
    assert!(steps.is_multiple_of(3) && offsets.iter().all(|offsets| offsets.len() == steps));
    assert!(nibbles.iter().all(|nibbles| nibbles.len() == 32 * steps));
    for start in (0..steps).step_by(SPAN) {
        let mut sums = Sums::<NV, NP>::new();
        for step in (start..steps.min(start + SPAN)).step_by(3) {
            let mut weights = [[zero; NV]; 3];
            for k in 0..3 {
                for v in 0..NV {
                    // SAFETY: `step + k < steps`, and the vector has 32 bytes a step.
                    weights[k][v] = unsafe { _mm256_loadu_si256(nibbles[v].as_ptr().add((step + k) * 32).cast()) };
                }
            }
            for p in 0..NP {
                let mut tables = [zero; 3];
                for k in 0..3 {
                    // SAFETY: `step + k < steps`.
                    tables[k] = _mm256_broadcastsi128_si256(table(unsafe { *offsets[p].get_unchecked(step + k) }));
                }
                for v in 0..NV {
                    add_three!(sums, p, v, tables, weights);
                }
            }
        }
        widen(&sums, &mut counts);
    }
    counts
}

/// Counts for two times two pairs of pixels and 16 channels: the lower lanes of a vector are of the first pair of two.
#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::needless_range_loop)] // As in `tile`.
fn tile_narrow(offsets: [[&[u16]; 2]; 2], nibbles: &[u8]) -> [[Counts; 2]; 2] {
    let zero = _mm256_setzero_si256();
    let mut counts = [[[[zero; 2]; 2]; 1]; 2];
    let steps = offsets[0][0].len();
    assert!(steps.is_multiple_of(3) && offsets.iter().flatten().all(|offsets| offsets.len() == steps));
    assert!(nibbles.len() == 16 * steps);
    for start in (0..steps).step_by(SPAN) {
        let mut sums = Sums::<1, 2>::new();
        for step in (start..steps.min(start + SPAN)).step_by(3) {
            let mut weights = [[zero; 1]; 3];
            for k in 0..3 {
                // SAFETY: `step + k < steps`, and there are 16 bytes a step.
                let of_step = unsafe { _mm_loadu_si128(nibbles.as_ptr().add((step + k) * 16).cast()) };
                weights[k][0] = _mm256_broadcastsi128_si256(of_step);
            }
            for p in 0..2 {
                let mut tables = [zero; 3];
                for k in 0..3 {
                    // SAFETY: `step + k < steps`.
                    let [low, high] = unsafe {
                        [
                            *offsets[p][0].get_unchecked(step + k),
                            *offsets[p][1].get_unchecked(step + k),
                        ]
                    };
                    tables[k] = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(table(low)), table(high));
                }
                add_three!(sums, p, 0, tables, weights);
            }
        }
        widen(&sums, &mut counts);
    }
    counts.map(|[of_vector]| of_vector)
}
