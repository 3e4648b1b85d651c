//! Counts differing bits: lookup tables, sums of lookups, and comparisons of counts with limits.

use core::arch::x86_64::*;

/// Steps between widenings. Three lookups add at most 12 to a sum, so `SPAN / 3` additions fit a byte.
pub(in crate::kernels) const SPAN: usize = 48;

/// The lookup tables: entry `w` of table `16 b + a`.
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

/// Counts of 32 lanes, 16 bits each. The first vector has lanes 0..8 and 16..24, the second has the others. This is the order of the
/// byte-unpack instructions.
pub(in crate::kernels) type Counts = [__m256i; 2];

/// Loads the limits of lanes 0..16 and 16..32 in the order of [`Counts`]. Each slice has at least 16 entries.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn limits_of([low, high]: [&[i16]; 2]) -> Counts {
    let (low, high): (&[i16; 16], &[i16; 16]) = match (low.first_chunk(), high.first_chunk()) {
        (Some(low), Some(high)) => (low, high),
        _ => unreachable!("whole vectors"),
    };
    // SAFETY: each load reads 8 numbers of an array of 16.
    unsafe {
        let load = |half: &[i16; 16], at: usize| _mm_loadu_si128(half.as_ptr().add(at).cast());
        [
            _mm256_set_m128i(load(high, 0), load(low, 0)),
            _mm256_set_m128i(load(high, 8), load(low, 8)),
        ]
    }
}

/// Selects `plus` in the lanes whose bit is set, and `minus` in the others.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn choose(bits: u32, minus: Counts, plus: Counts) -> Counts {
    let bits = _mm256_set1_epi32(bits as i32);
    // The byte that has the bits of each group of 8 lanes.
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

/// Compares counts with limits. Bit `i` is set if the count of lane `i` is below its limit.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn below(counts: &Counts, limits: Counts) -> u32 {
    let (low, high) = (
        _mm256_cmpgt_epi16(limits[0], counts[0]),
        _mm256_cmpgt_epi16(limits[1], counts[1]),
    );
    _mm256_movemask_epi8(_mm256_packs_epi16(low, high)) as u32
}

/// Computes `sums = bases - 2 counts` for all 32 lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store(counts: &Counts, bases: &[f32], sums: &mut [f32; 32]) {
    let (low, high) = sums.split_at_mut(16);
    store_half(counts, false, &bases[..16], low.first_chunk_mut().expect("16 of 32"));
    store_half(counts, true, &bases[16..], high.first_chunk_mut().expect("16 of 32"));
}

/// Does the same for lanes 0..16, or for lanes 16..32 if `upper`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store_half(counts: &Counts, upper: bool, bases: &[f32], sums: &mut [f32; 16]) {
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

/// Sums of lookups for `NV` vectors and `NP` tables.
pub(in crate::kernels) struct Sums<const NV: usize, const NP: usize> {
    /// Sums of whole bytes, modulo 256.
    pub(in crate::kernels) bytes: [[__m256i; NV]; NP],
    /// Sums of the high halves of the bytes.
    pub(in crate::kernels) highs: [[__m256i; NV]; NP],
}

impl<const NV: usize, const NP: usize> Sums<NV, NP> {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::kernels) fn new() -> Self {
        let zero = _mm256_setzero_si256();
        Self {
            bytes: [[zero; NV]; NP],
            highs: [[zero; NV]; NP],
        }
    }
}

/// Adds three lookups, `k = 0..3`, to the sums of pair `p` and vector `v`: of `weights[k][v]` in `tables[k]`.
macro_rules! add_three {
    ($sums:expr, $p:expr, $v:expr, $tables:expr, $weights:expr) => {{
        let a = _mm256_shuffle_epi8($tables[0], $weights[0][$v]);
        let b = _mm256_shuffle_epi8($tables[1], $weights[1][$v]);
        let c = _mm256_shuffle_epi8($tables[2], $weights[2][$v]);
        let sum = _mm256_add_epi8(_mm256_add_epi8(a, b), c);
        $sums.bytes[$p][$v] = _mm256_add_epi8($sums.bytes[$p][$v], sum);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(sum), _mm256_set1_epi8(15));
        $sums.highs[$p][$v] = _mm256_add_epi8($sums.highs[$p][$v], high);
    }};
}

pub(in crate::kernels) use add_three;

/// Adds the sums of bytes to the 16-bit counts of both pixels of each pair.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn widen<const NV: usize, const NP: usize>(
    sums: &Sums<NV, NP>,
    counts: &mut [[[Counts; 2]; NV]; NP],
) {
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

/// Loads the table at `offset`. Offsets are multiples of 16 below 4096.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn table(offset: u16) -> __m128i {
    // SAFETY: the mask keeps any offset inside the tables, which are aligned.
    unsafe { _mm_load_si128(TABLES.0.as_ptr().cast::<u8>().add(usize::from(offset & 0xFF0)).cast()) }
}

/// Computes the counts for `NP` pairs of pixels and `NV` vectors of channels. A vector has 32 bytes a step.
#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::needless_range_loop)] // The loops are unrolled, and several arrays share each index.
pub(super) fn tile<const NV: usize, const NP: usize>(
    offsets: [&[u16]; NP],
    nibbles: [&[u8]; NV],
) -> [[[Counts; 2]; NV]; NP] {
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

/// Computes the counts for two times two pairs of pixels and 16 channels. The lower lanes of a vector have the first pair, the upper
/// lanes the second.
#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::needless_range_loop)] // As in `tile`.
pub(super) fn tile_narrow(offsets: [[&[u16]; 2]; 2], nibbles: &[u8]) -> [[Counts; 2]; 2] {
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
