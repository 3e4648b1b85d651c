//! A trait for vectors of floats, with one implementation for each SIMD level.

/// A vector type and the few operations that the kernels need.
///
/// # Safety
///
/// The machine must have the instructions of the implementing level. All methods are `#[inline(always)]`, so that each becomes one
/// instruction inside a function that is compiled for the level.
pub(crate) trait Lanes {
    /// `LANES` floats.
    type Vector: Copy;
    /// `LANES` doubles.
    type Doubles: Copy;
    /// A choice for each lane.
    type Mask: Copy;
    /// Floats in a vector.
    const LANES: usize;

    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self::Vector;
    /// Reads `LANES` floats from `p`, aligned or not.
    unsafe fn load(p: *const f32) -> Self::Vector;
    /// Writes `LANES` floats to `p`, aligned or not.
    unsafe fn store(p: *mut f32, v: Self::Vector);
    /// `a + b`.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `|a|`.
    unsafe fn abs(a: Self::Vector) -> Self::Vector;
    /// The lanes where `a >= b`. Lanes with NaN are not set.
    unsafe fn at_least(a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Sets lane `i` if bit `i` is set. Bits `LANES` and higher are ignored.
    unsafe fn mask(bits: u32) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    unsafe fn select(mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, fused except in [`Portable`].
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// All lanes `x`.
    unsafe fn splat_double(x: f64) -> Self::Doubles;
    /// The same values as doubles.
    unsafe fn widen(v: Self::Vector) -> Self::Doubles;
    /// Writes `LANES` doubles to `p`, aligned or not.
    unsafe fn store_doubles(p: *mut f64, v: Self::Doubles);
    /// `a + b`.
    unsafe fn add_doubles(a: Self::Doubles, b: Self::Doubles) -> Self::Doubles;
    /// `a * b + c`, fused except in [`Portable`].
    unsafe fn mul_add_doubles(a: Self::Doubles, b: Self::Doubles, c: Self::Doubles) -> Self::Doubles;
    /// Splits the concatenation of `a` and `b` into the floats with even and with odd index.
    unsafe fn unzip(a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// Interleaves the floats of `a` and `b`. Reverses [`Lanes::unzip`].
    unsafe fn zip(a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// Transposes 8 x 8 floats: `dst[j * dst_stride + i] = src[i * src_stride + j]`, or `+=` with `add`.
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize, add: bool);
}

/// Plain Rust, 8 floats.
pub(crate) enum Portable {}

impl Lanes for Portable {
    type Vector = [f32; 8];
    type Doubles = [f64; 8];
    type Mask = [bool; 8];
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 8] {
        // SAFETY: the caller gives 8 readable floats.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller gives 8 writable floats.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn abs(a: [f32; 8]) -> [f32; 8] {
        a.map(f32::abs)
    }
    #[inline(always)]
    unsafe fn at_least(a: [f32; 8], b: [f32; 8]) -> [bool; 8] {
        std::array::from_fn(|i| a[i] >= b[i])
    }
    #[inline(always)]
    unsafe fn mask(bits: u32) -> [bool; 8] {
        std::array::from_fn(|i| bits >> i & 1 == 1)
    }
    #[inline(always)]
    unsafe fn select(mask: [bool; 8], a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn splat_double(x: f64) -> [f64; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn widen(v: [f32; 8]) -> [f64; 8] {
        v.map(f64::from)
    }
    #[inline(always)]
    unsafe fn store_doubles(p: *mut f64, v: [f64; 8]) {
        // SAFETY: the caller gives 8 writable doubles.
        unsafe { p.cast::<[f64; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add_doubles(a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn mul_add_doubles(a: [f64; 8], b: [f64; 8], c: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn unzip(a: [f32; 8], b: [f32; 8]) -> [[f32; 8]; 2] {
        let all = |i: usize| if i < 8 { a[i] } else { b[i - 8] };
        [0, 1].map(|odd| std::array::from_fn(|i| all(2 * i + odd)))
    }
    #[inline(always)]
    unsafe fn zip(a: [f32; 8], b: [f32; 8]) -> [[f32; 8]; 2] {
        let turn = |i: usize| if i.is_multiple_of(2) { a[i / 2] } else { b[i / 2] };
        [0, 8].map(|first| std::array::from_fn(|i| turn(first + i)))
    }
    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize, add: bool) {
        for (i, j) in (0..8).flat_map(|j| (0..8).map(move |i| (i, j))) {
            // SAFETY: the caller gives 8 rows of 8 floats on both sides.
            unsafe {
                let (x, out) = (*src.add(i * src_stride + j), dst.add(j * dst_stride + i));
                *out = if add { *out + x } else { x };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86;
