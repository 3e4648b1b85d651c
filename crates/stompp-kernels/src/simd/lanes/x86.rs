//! [`Lanes`] for AVX2 and AVX-512.

use super::Lanes;
use std::arch::x86_64::*;

/// Implements [`Lanes`] with one intrinsic per method, or two for doubles, which need two registers.
macro_rules! lanes {
    (
        $(#[$doc:meta])* $name:ident, $lanes:literal,
        $vector:ty: $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $fma:ident;
        $mask:ty: $abs:ident, $at_least:ident, $bits:ident, $select:ident, $unzip:ident, $zip:ident;
        $doubles:ty: $splat_d:ident, $store_d:ident, $add_d:ident, $fma_d:ident, $widen:ident, $low:ident, $high:ident
    ) => {
        $(#[$doc])*
        pub(crate) enum $name {}

        // SAFETY (of every block below): the caller guarantees the instructions and the memory, as `Lanes` requires.
        impl Lanes for $name {
            type Vector = $vector;
            type Doubles = [$doubles; 2];
            type Mask = $mask;
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
            unsafe fn sub(a: $vector, b: $vector) -> $vector {
                // SAFETY: see above.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            unsafe fn abs(a: $vector) -> $vector {
                // SAFETY: see above.
                unsafe { $abs(a) }
            }
            #[inline(always)]
            unsafe fn at_least(a: $vector, b: $vector) -> $mask {
                // SAFETY: see above.
                unsafe { $at_least(a, b) }
            }
            #[inline(always)]
            unsafe fn mask(bits: u32) -> $mask {
                // SAFETY: see above.
                unsafe { $bits(bits) }
            }
            #[inline(always)]
            unsafe fn select(mask: $mask, a: $vector, b: $vector) -> $vector {
                // SAFETY: see above.
                unsafe { $select(mask, a, b) }
            }
            #[inline(always)]
            unsafe fn mul_add(a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: see above.
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            unsafe fn splat_double(x: f64) -> [$doubles; 2] {
                // SAFETY: see above.
                unsafe { [$splat_d(x); 2] }
            }
            #[inline(always)]
            unsafe fn widen(v: $vector) -> [$doubles; 2] {
                // SAFETY: see above.
                unsafe { [$widen($low(v)), $widen($high::<1>(v))] }
            }
            #[inline(always)]
            unsafe fn store_doubles(p: *mut f64, v: [$doubles; 2]) {
                // SAFETY: see above.
                unsafe {
                    $store_d(p, v[0]);
                    $store_d(p.add($lanes / 2), v[1]);
                }
            }
            #[inline(always)]
            unsafe fn add_doubles(a: [$doubles; 2], b: [$doubles; 2]) -> [$doubles; 2] {
                // SAFETY: see above.
                unsafe { [$add_d(a[0], b[0]), $add_d(a[1], b[1])] }
            }
            #[inline(always)]
            unsafe fn mul_add_doubles(a: [$doubles; 2], b: [$doubles; 2], c: [$doubles; 2]) -> [$doubles; 2] {
                // SAFETY: see above.
                unsafe { [$fma_d(a[0], b[0], c[0]), $fma_d(a[1], b[1], c[1])] }
            }
            #[inline(always)]
            unsafe fn unzip(a: $vector, b: $vector) -> [$vector; 2] {
                // SAFETY: see above.
                unsafe { $unzip(a, b) }
            }
            #[inline(always)]
            unsafe fn zip(a: $vector, b: $vector) -> [$vector; 2] {
                // SAFETY: see above.
                unsafe { $zip(a, b) }
            }
            #[inline(always)]
            unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize, add: bool) {
                // SAFETY: see above.
                unsafe { transpose_8x8(src, src_stride, dst, dst_stride, add) }
            }
        }
    };
}

lanes!(
    /// AVX2 and FMA, 8 floats.
    Avx2, 8,
    __m256: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_fmadd_ps;
    __m256: abs_8, at_least_8, mask_8, select_8, unzip_8, zip_8;
    __m256d: _mm256_set1_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_fmadd_pd,
    _mm256_cvtps_pd, _mm256_castps256_ps128, _mm256_extractf128_ps
);
lanes!(
    /// AVX-512, 16 floats.
    Avx512, 16,
    __m512: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_fmadd_ps;
    __mmask16: _mm512_abs_ps, at_least_16, mask_16, select_16, unzip_16, zip_16;
    __m512d: _mm512_set1_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_fmadd_pd,
    _mm512_cvtps_pd, _mm512_castps512_ps256, _mm512_extractf32x8_ps
);

#[inline]
#[target_feature(enable = "avx2,fma")]
fn abs_8(a: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_set1_ps(-0.0), a)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn at_least_8(a: __m256, b: __m256) -> __m256 {
    _mm256_cmp_ps::<_CMP_GE_OQ>(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn mask_8(bits: u32) -> __m256 {
    let lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let chosen = _mm256_and_si256(_mm256_set1_epi32(bits as i32), lanes);
    _mm256_castsi256_ps(_mm256_cmpeq_epi32(chosen, lanes))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn select_8(mask: __m256, a: __m256, b: __m256) -> __m256 {
    _mm256_blendv_ps(b, a, mask)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn unzip_8(a: __m256, b: __m256) -> [__m256; 2] {
    // Unzip within halves, then swap the middle quarters.
    [
        swap_middle(_mm256_shuffle_ps::<0x88>(a, b)),
        swap_middle(_mm256_shuffle_ps::<0xDD>(a, b)),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn swap_middle(a: __m256) -> __m256 {
    _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(a)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn zip_8(a: __m256, b: __m256) -> [__m256; 2] {
    let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    [
        _mm256_permute2f128_ps::<0x20>(low, high),
        _mm256_permute2f128_ps::<0x31>(low, high),
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn unzip_16(a: __m512, b: __m512) -> [__m512; 2] {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    [_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn zip_16(a: __m512, b: __m512) -> [__m512; 2] {
    let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    [_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn at_least_16(a: __m512, b: __m512) -> __mmask16 {
    _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn mask_16(bits: u32) -> __mmask16 {
    bits as __mmask16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn select_16(mask: __mmask16, a: __m512, b: __m512) -> __m512 {
    _mm512_mask_blend_ps(mask, b, a)
}

/// Transposes 8 x 8 floats. The loads join halves of rows `i` and `i + 4`, which needs no shuffle. Then pairs and quadruples of columns
/// are exchanged.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn transpose_8x8(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize, add: bool) {
    // SAFETY: the caller gives 8 rows of 8 floats on both sides.
    unsafe {
        for half in 0..2 {
            let mut rows = [_mm256_setzero_ps(); 4];
            for (row, joined) in rows.iter_mut().enumerate() {
                let low = _mm_loadu_ps(src.add(row * src_stride + 4 * half));
                let high = _mm_loadu_ps(src.add((row + 4) * src_stride + 4 * half));
                *joined = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high);
            }
            let [a, b, c, d] = rows;
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let columns = [
                _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm256_shuffle_ps::<0xEE>(ab_low, cd_low),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xEE>(ab_high, cd_high),
            ];
            for (j, column) in columns.into_iter().enumerate() {
                let out = dst.add((4 * half + j) * dst_stride);
                let column = if add {
                    _mm256_add_ps(_mm256_loadu_ps(out), column)
                } else {
                    column
                };
                _mm256_storeu_ps(out, column);
            }
        }
    }
}
