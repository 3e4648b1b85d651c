//! Signs as bits.

use rayon::prelude::*;

use super::lookup::NibblePanel;
use super::popcount::WordPanel;
use crate::check;
use crate::simd::{Simd, SimdLevel};

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// The signs of a `(batch, channels, height, width)` tensor, one bit each: 1 for `x >= 0` (including -0), 0 for `x < 0` and NaN.
///
/// The bits of a pixel are contiguous: `(image, row, column, word)`. Channel `c` is bit `c % 64` of word `c / 64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitTensor {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    words: Vec<u64>,
}

impl BitTensor {
    /// Packs the signs of `x`.
    ///
    /// # Panics
    ///
    /// Panics if the length of `x` does not fit.
    pub fn from_signs(batch: usize, channels: usize, height: usize, width: usize, x: &[f32]) -> Self {
        let plane = height * width;
        check::length("x", x.len(), batch * channels * plane);
        let per_pixel = channels.div_ceil(BITS);
        let mut words = vec![0; batch * plane * per_pixel];
        if !words.is_empty() {
            let simd = Simd::current();
            let images = words
                .par_chunks_mut(plane * per_pixel)
                .zip(x.par_chunks(channels * plane));
            images.for_each(|(words, x)| {
                simd.vectorize(
                    #[inline(always)]
                    || pack_image(plane, per_pixel, x, words),
                )
            });
        }
        Self {
            batch,
            channels,
            height,
            width,
            words,
        }
    }

    /// Returns the number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the words of one image.
    pub(super) fn image(&self, number: usize) -> &[u64] {
        let len = self.height * self.width * self.channels.div_ceil(BITS);
        &self.words[number * len..][..len]
    }
}

/// Packs one image, 32 channels at a time. Then bits and floats have the same size, and comparisons stay in their vector lanes.
#[inline(always)]
fn pack_image(plane: usize, per_pixel: usize, x: &[f32], words: &mut [u64]) {
    const PIXELS: usize = 1024;
    for start in (0..plane).step_by(PIXELS) {
        let pixels = PIXELS.min(plane - start);
        for (half, x) in x.chunks(32 * plane).enumerate() {
            let mut bits = [0u32; PIXELS];
            for (channel, x) in x.chunks(plane).enumerate() {
                let bit = 1 << channel;
                for (bits, &x) in bits.iter_mut().zip(&x[start..][..pixels]) {
                    *bits |= if x >= 0.0 { bit } else { 0 };
                }
            }
            let words = words[start * per_pixel + half / 2..].iter_mut().step_by(per_pixel);
            for (word, &bits) in words.zip(&bits[..pixels]) {
                *word |= u64::from(bits) << (32 * (half % 2));
            }
        }
    }
}

/// The signs of an `(out_channels, in_channels, kernel, kernel)` weight, in the layout of the SIMD level at which they were packed.
#[derive(Clone, Debug)]
pub struct BitWeights {
    out_channels: usize,
    in_channels: usize,
    kernel: usize,
    panel_width: usize,
    panels: Panels,
    /// For each tap of each kernel, the sum of the signs over the input channels: `(out_channel, tap)`.
    tap_sums: Vec<i32>,
}

/// Weights in panels of output channels, for one of the counting methods.
#[derive(Clone, Debug)]
pub(super) enum Panels {
    Words(Vec<WordPanel>),
    Nibbles(Vec<NibblePanel>),
}

impl BitWeights {
    /// Packs the signs of `w`.
    ///
    /// # Panics
    ///
    /// Panics if the length of `w` does not fit.
    pub fn from_signs(out_channels: usize, in_channels: usize, kernel: usize, w: &[f32]) -> Self {
        let area = kernel * kernel;
        check::length("w", w.len(), out_channels * in_channels * area);
        // A kernel is an image of `kernel x kernel` pixels.
        let bits = BitTensor::from_signs(out_channels, in_channels, kernel, kernel, w);
        let simd = Simd::current();
        let words = in_channels.div_ceil(BITS);
        let kernels: Vec<&[u64]> = (0..out_channels).map(|o| bits.image(o)).collect();
        let fits_lookup = NibblePanel::is_suitable(in_channels * area);
        let (panel_width, panels) = match simd.level() {
            SimdLevel::Avx2 | SimdLevel::Avx512 if fits_lookup && !WordPanel::is_vectorized(simd) => {
                let width = NibblePanel::width(out_channels);
                let panel = |kernels| NibblePanel::new(width, in_channels, kernels);
                (width, Panels::Nibbles(kernels.chunks(width).map(panel).collect()))
            }
            _ => {
                let width = WordPanel::width(simd, out_channels);
                let panel = |kernels| WordPanel::new(simd, width, in_channels, kernel, kernels);
                (width, Panels::Words(kernels.chunks(width).map(panel).collect()))
            }
        };
        let tap_sum = |tap: &[u64]| 2 * tap.iter().map(|w| w.count_ones() as i32).sum::<i32>() - in_channels as i32;
        let tap_sums = bits.words.chunks(words.max(1)).map(tap_sum).collect();
        Self {
            out_channels,
            in_channels,
            kernel,
            panel_width,
            panels,
            tap_sums,
        }
    }

    /// Returns the number of output channels.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Returns the number of input channels.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Returns the number of rows, which equals the number of columns, of a kernel.
    pub fn kernel(&self) -> usize {
        self.kernel
    }

    /// Returns the number of channels of a panel.
    pub(super) fn panel_width(&self) -> usize {
        self.panel_width
    }

    pub(super) fn panels(&self) -> &Panels {
        &self.panels
    }

    /// Returns the sums of the signs of the kernel of output channel `o`, one for each tap.
    pub(super) fn tap_sums(&self, o: usize) -> &[i32] {
        let area = self.kernel * self.kernel;
        &self.tap_sums[o * area..][..area]
    }
}
