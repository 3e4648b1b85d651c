//! The operations after a sum: batch norm, shortcut, activation, and writing the result.

use alloc::vec::Vec;
use core::ops::Range;

/// Values that a step reads. The channels of a pixel are contiguous, except in images.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    /// One bit per channel. Every pixel starts at a byte.
    Bits(&'a [u8]),
    /// (H, W, C).
    Floats(&'a [f32]),
    /// (C, H, W): the caller's image.
    Image(&'a [f32]),
}

/// Returns the number of bytes that the bits of a pixel need.
pub(crate) fn bytes_of_pixel(channels: usize) -> usize {
    channels.div_ceil(8)
}

/// Returns the value of a bit: +1 or -1.
#[inline(always)]
pub(crate) fn sign(bit: bool) -> f32 {
    if bit { 1.0 } else { -1.0 }
}

/// Returns the values of eight bits. Needs no branches: the inverted bit becomes the sign bit of 1.0.
#[inline(always)]
pub(crate) fn signs(byte: u8) -> [f32; 8] {
    let one = 1_f32.to_bits();
    core::array::from_fn(|i| f32::from_bits(one | (u32::from(!byte) >> i & 1) << 31))
}

impl Values<'_> {
    /// Copies channels `first..first + to.len()` of `pixel` to `to`. The tensor has `channels` channels and `pixels` pixels. `first` is a
    /// multiple of 8.
    #[inline(always)]
    pub(crate) fn read(&self, [channels, pixels]: [usize; 2], pixel: usize, first: usize, to: &mut [f32]) {
        match self {
            Self::Floats(values) => to.copy_from_slice(&values[pixel * channels + first..][..to.len()]),
            Self::Bits(bytes) => {
                let bytes = &bytes[pixel * bytes_of_pixel(channels) + first / 8..];
                for (to, byte) in to.chunks_mut(8).zip(bytes) {
                    to.copy_from_slice(&signs(*byte)[..to.len()]);
                }
            }
            Self::Image(values) => {
                let channels = values[first * pixels + pixel..].iter().step_by(pixels);
                to.iter_mut().zip(channels).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// The activation at the end of a step whose output is floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    None,
    Relu,
    Clip,
}

/// The parameters of the operations after a sum.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Mean, factor and shift of each channel, in groups of eight. The last group is padded with zeros.
    pub(crate) affine: Option<[Vec<[f32; 8]>; 3]>,
    pub(crate) activation: Activation,
}

impl Tail {
    /// Whether bits that pass through have the same signs after it.
    pub(crate) fn keeps_signs(&self) -> bool {
        self.affine.is_none() && self.activation == Activation::None
    }
}

/// The arithmetic of a SIMD level.
pub(crate) trait Arithmetic {
    /// `a * b + c`, rounded once.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
    /// Returns a byte whose bit `i` is set if `values[i]` is not negative.
    fn signs(values: &[f32; 8]) -> u8;
}

/// Arithmetic without vector instructions.
pub(crate) enum Portable {}

impl Arithmetic for Portable {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        libm::fmaf(a, b, c)
    }

    #[inline(always)]
    fn signs(values: &[f32; 8]) -> u8 {
        values
            .iter()
            .rev()
            .fold(0, |bits, value| bits << 1 | u8::from(*value >= 0.0))
    }
}

/// Arithmetic with AVX2 and FMA. Use it only in functions that are compiled for them.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(crate) enum Fma {}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
impl Arithmetic for Fma {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn signs(values: &[f32; 8]) -> u8 {
        use core::arch::x86_64::*;
        // SAFETY: the callers run only where AVX2 is; 8 floats are read.
        unsafe {
            let values = _mm256_loadu_ps(values.as_ptr());
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(values, _mm256_setzero_ps())) as u8
        }
    }
}

/// Applies the tail to the sums of one task and writes the rows.
pub(crate) struct RowWriter<'a> {
    pub(crate) tail: &'a Tail,
    pub(crate) channels: usize,
    /// Pixels of the whole output.
    pub(crate) pixels: usize,
    /// Index of the first pixel of the rows.
    pub(crate) first: usize,
    pub(crate) residual: Option<Values<'a>>,
    /// The rows as floats, if a later step reads floats.
    pub(crate) floats: Option<&'a mut [f32]>,
    /// The rows as bits, if a later step reads bits.
    pub(crate) bits: Option<&'a mut [u8]>,
}

/// Largest number of channels that are copied together.
pub(crate) const MOST: usize = 64;

impl RowWriter<'_> {
    /// Applies the tail to channels `first..first + sums.len()` of `pixel` and writes them. `first` is a multiple of 8.
    #[inline(always)]
    pub(crate) fn write<A: Arithmetic>(&mut self, pixel: usize, first: usize, sums: &mut [f32]) {
        self.write_pixels::<A>(pixel..pixel + 1, first..first + sums.len(), sums.len(), sums);
    }

    /// Applies the tail to `channels` of `pixels` and writes them. `sums` has `width` floats for each pixel. The first channel is a
    /// multiple of 8.
    #[inline(always)]
    pub(crate) fn write_pixels<A: Arithmetic>(
        &mut self,
        pixels: Range<usize>,
        channels: Range<usize>,
        width: usize,
        sums: &mut [f32],
    ) {
        for first in channels.clone().step_by(8) {
            let count = 8.min(channels.end - first);
            // Read once for all pixels.
            let affine = self.tail.affine.as_ref();
            let affine = affine.map(|[mean, factor, shift]| [mean[first / 8], factor[first / 8], shift[first / 8]]);
            for (pixel, sums) in pixels.clone().zip(sums.chunks_mut(width)) {
                let sums = &mut sums[first - channels.start..];
                match sums.first_chunk_mut() {
                    Some(eight) => self.write_eight::<A>(pixel, first, count, &affine, eight),
                    None => {
                        let mut eight = [0.0; 8];
                        eight[..count].copy_from_slice(&sums[..count]);
                        self.write_eight::<A>(pixel, first, count, &affine, &mut eight);
                    }
                }
            }
        }
    }

    /// Applies the tail to a group of eight channels and writes the first `count` of them.
    #[inline(always)]
    fn write_eight<A: Arithmetic>(
        &mut self,
        pixel: usize,
        first: usize,
        count: usize,
        affine: &Option<[[f32; 8]; 3]>,
        sums: &mut [f32; 8],
    ) {
        if let Some([mean, factor, shift]) = affine {
            for i in 0..8 {
                sums[i] = A::mul_add(sums[i] - mean[i], factor[i], shift[i]);
            }
        }
        if let Some(residual) = &self.residual {
            let mut other = [0.0; 8];
            residual.read([self.channels, self.pixels], pixel, first, &mut other[..count]);
            sums.iter_mut().zip(&other).for_each(|(sum, other)| *sum += other);
        }
        match self.tail.activation {
            Activation::None => {}
            Activation::Relu => sums.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
            Activation::Clip => sums.iter_mut().for_each(|x| {
                *x = if *x >= 1.0 { 1.0 } else { *x };
                *x = if -1.0 >= *x { -1.0 } else { *x };
            }),
        }
        let pixel = pixel - self.first;
        if let Some(floats) = &mut self.floats {
            floats[pixel * self.channels + first..][..count].copy_from_slice(&sums[..count]);
        }
        if let Some(bits) = &mut self.bits {
            let there = u8::MAX >> (8 - count);
            bits[pixel * bytes_of_pixel(self.channels) + first / 8] = A::signs(sums) & there;
        }
    }

    /// Returns up to 32 bits of the shortcut of `pixel`, starting at channel `first`.
    #[inline(always)]
    pub(crate) fn residual_bits(&self, pixel: usize, first: usize) -> u32 {
        match self.residual {
            Some(Values::Bits(bytes)) => {
                let of_pixel = bytes_of_pixel(self.channels);
                let bytes = &bytes[pixel * of_pixel..][..of_pixel][first / 8..];
                match bytes.first_chunk() {
                    Some(bytes) => u32::from_le_bytes(*bytes),
                    None => bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte)),
                }
            }
            _ => 0,
        }
    }

    /// Writes up to 32 bits of `pixel`, starting at channel `first`. Bits past the last channel must be 0.
    #[inline(always)]
    pub(crate) fn write_bits(&mut self, pixel: usize, first: usize, bits: u32) {
        let of_pixel = bytes_of_pixel(self.channels);
        if let Some(bytes) = &mut self.bits {
            let bytes = &mut bytes[(pixel - self.first) * of_pixel..][..of_pixel][first / 8..];
            match bytes.first_chunk_mut() {
                Some(bytes) => *bytes = bits.to_le_bytes(),
                None => bytes
                    .iter_mut()
                    .zip(bits.to_le_bytes())
                    .for_each(|(to, from)| *to = from),
            }
        }
    }
}
