//! Counts differing bits by population count of whole words.

use std::borrow::Cow;

use super::planes::BitLayout;
use crate::simd::{Simd, SimdLevel};

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// The layout of the words of one row of a kernel. Each pixel starts at a new word, or pixels are joined without gaps if this needs fewer
/// words. With 16 channels and a 3x3 kernel, a joined patch has 3 words instead of 9.
#[derive(Clone, Copy, Debug)]
struct KernelRow {
    channels: usize,
    kernel: usize,
}

impl KernelRow {
    fn words_of_pixel(self) -> usize {
        self.channels.div_ceil(BITS)
    }

    /// Returns the number of words of a row.
    fn words(self) -> usize {
        (self.kernel * self.channels).div_ceil(BITS)
    }

    /// Whether pixels are joined.
    fn is_joined(self) -> bool {
        self.words() < self.kernel * self.words_of_pixel()
    }

    /// Joins the row of a kernel that starts at each pixel. The rows of the last pixels are shorter, because fewer pixels follow.
    #[inline(always)]
    fn join(self, pixels: &[u64]) -> Vec<u64> {
        let (of_pixel, of_row) = (self.words_of_pixel(), self.words());
        let mut joined = vec![0; pixels.len() / of_pixel * of_row];
        for (pixel, number) in (0..self.kernel).flat_map(|pixel| (0..of_pixel).map(move |number| (pixel, number))) {
            let at = pixel * self.channels + number * BITS;
            let (word, shift) = (at / BITS, at % BITS);
            let from = pixels[(pixel * of_pixel + number).min(pixels.len())..]
                .iter()
                .step_by(of_pixel);
            let rows = joined.chunks_exact_mut(of_row);
            // Bits past the channels are zeros, so the bits past the end of the row are zeros, too.
            if shift == 0 || word + 1 == of_row {
                from.zip(rows).for_each(|(&bits, row)| row[word] |= bits << shift);
            } else {
                from.zip(rows).for_each(|(&bits, row)| {
                    row[word] |= bits << shift;
                    row[word + 1] |= bits >> (BITS - shift);
                });
            }
        }
        joined
    }
}

/// The weights of a panel of output channels: for each word of a patch, the words of all channels.
#[derive(Clone, Debug)]
pub(super) struct WordPanel {
    simd: Simd,
    width: usize,
    row: KernelRow,
    /// `(word of a patch, channel)`.
    words: Vec<u64>,
}

/// A staged image for [`WordPanel::products`].
pub(super) struct WordPlanes<'a> {
    words: Cow<'a, [u64]>,
    /// The start of each output pixel's patch.
    starts: Vec<usize>,
    /// The offset of each word of a patch from the start.
    steps: Vec<u32>,
}

impl<'a> WordPlanes<'a> {
    /// Prepares the words of the padded image.
    pub(super) fn new(planes: &'a [u64], layout: &BitLayout) -> Self {
        let row = KernelRow {
            channels: layout.channels,
            kernel: layout.kernel,
        };
        let rows = layout.taps.iter().step_by(layout.kernel);
        if !row.is_joined() {
            let words = layout.kernel * layout.words;
            return Self {
                words: Cow::Borrowed(planes),
                starts: layout.starts.iter().map(|start| start * layout.words).collect(),
                steps: rows
                    .flat_map(|tap| (0..words).map(move |word| (tap * layout.words + word) as u32))
                    .collect(),
            };
        }
        let words = row.words();
        let joined = Simd::current().vectorize(
            #[inline(always)]
            || row.join(planes),
        );
        Self {
            words: Cow::Owned(joined),
            starts: layout.starts.iter().map(|start| start * words).collect(),
            steps: rows
                .flat_map(|tap| (0..words).map(move |word| (tap * words + word) as u32))
                .collect(),
        }
    }
}

impl WordPanel {
    /// Whether the processor counts bits in vectors.
    pub(super) fn is_vectorized(simd: Simd) -> bool {
        #[cfg(target_arch = "x86_64")]
        return simd.level() == SimdLevel::Avx512 && is_x86_feature_detected!("avx512vpopcntdq");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Returns the number of channels in a panel, for a convolution with `channels` output channels.
    pub(super) fn width(simd: Simd, channels: usize) -> usize {
        match Self::is_vectorized(simd) {
            true if channels > 16 => 32,
            true => 16,
            false => 8,
        }
    }

    /// Packs at most `width` kernels of `kernel x kernel` with `channels` input channels. Missing output channels are zeros.
    pub(super) fn new(simd: Simd, width: usize, channels: usize, kernel: usize, kernels: &[&[u64]]) -> Self {
        let row = KernelRow { channels, kernel };
        let joined: Vec<Cow<[u64]>> = kernels.iter().map(|&words| Self::rows(row, words)).collect();
        let mut words = vec![0; joined[0].len() * width];
        for (channel, kernel) in joined.iter().enumerate() {
            let column = words[channel..].iter_mut().step_by(width);
            column.zip(kernel.iter()).for_each(|(to, from)| *to = *from);
        }
        Self {
            simd,
            width,
            row,
            words,
        }
    }

    /// Returns the words of a kernel, row by row.
    fn rows(row: KernelRow, words: &[u64]) -> Cow<'_, [u64]> {
        if !row.is_joined() {
            return Cow::Borrowed(words);
        }
        // A kernel has as many rows as columns. Only the first pixel of each row starts a row.
        let rows = words.chunks(row.kernel * row.words_of_pixel());
        Cow::Owned(
            rows.flat_map(|pixels| row.join(pixels)[..row.words()].to_vec())
                .collect(),
        )
    }

    /// Returns the number of entries of a patch.
    fn entries(&self) -> usize {
        self.row.channels * self.row.kernel * self.row.kernel
    }

    /// Computes `sums[pixel][channel]`: dot products of all patches of a staged image with the panel's kernels.
    pub(super) fn products(&self, planes: &WordPlanes, sums: &mut [f32]) {
        let WordPlanes { words, starts, steps } = planes;
        let reach = starts
            .iter()
            .max()
            .zip(steps.iter().max())
            .map_or(0, |(start, step)| start + *step as usize + 1);
        assert!(reach <= words.len() && self.words.len() == steps.len() * self.width);
        assert!(sums.len() >= starts.len() * self.width);
        #[cfg(target_arch = "x86_64")]
        if Self::is_vectorized(self.simd) {
            // SAFETY: the processor has the instructions; the assertions keep every read and write inside its slice.
            unsafe {
                match self.width {
                    32 => vectors::products::<4, 4>(words, starts, steps, &self.words, self.entries(), sums),
                    _ => vectors::products::<8, 2>(words, starts, steps, &self.words, self.entries(), sums),
                }
            }
            return;
        }
        self.simd.vectorize(
            #[inline(always)]
            || self.products_by_words(words, starts, steps, sums),
        );
    }

    #[inline(always)]
    fn products_by_words(&self, planes: &[u64], starts: &[usize], steps: &[u32], sums: &mut [f32]) {
        const LANES: usize = 8;
        debug_assert_eq!(self.width, LANES);
        for (start, sums) in starts.iter().zip(sums.chunks_mut(LANES)) {
            let mut differing = [0u32; LANES];
            for (step, words) in steps.iter().zip(self.words.as_chunks::<LANES>().0) {
                let pixel = planes[start + *step as usize];
                for (differing, word) in differing.iter_mut().zip(words) {
                    *differing += (pixel ^ word).count_ones();
                }
            }
            for (sum, differing) in sums.iter_mut().zip(differing) {
                *sum = (self.entries() as i64 - 2 * i64::from(differing)) as f32;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::*;

    /// Output channels of a vector.
    const LANES: usize = 8;

    /// Computes tiles of `MR` pixels and `NV` vectors of channels. The 16 counts of a tile stay in registers.
    ///
    /// # Safety
    ///
    /// Every sum of a start and a step must be an index of `planes`. `words` must have `NV * 8` words for each step, and `sums` must have
    /// `NV * 8` floats for each start.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq")]
    pub(super) unsafe fn products<const MR: usize, const NV: usize>(
        planes: &[u64],
        starts: &[usize],
        steps: &[u32],
        words: &[u64],
        entries: usize,
        sums: &mut [f32],
    ) {
        let (all, minus_two) = (_mm256_set1_ps(entries as f32), _mm256_set1_ps(-2.0));
        for (starts, sums) in starts.chunks(MR).zip(sums.chunks_mut(MR * NV * LANES)) {
            // Pointers, not indices: the compiler would put the sums of 8 indices into vectors.
            let pixels: [*const u64; MR] =
                std::array::from_fn(|j| planes.as_ptr().wrapping_add(starts[j.min(starts.len() - 1)]));
            let mut differing = [[_mm512_setzero_si512(); NV]; MR];
            let mut word = words.as_ptr();
            for &step in steps {
                // SAFETY: by the contract.
                unsafe {
                    let mut channels = [_mm512_setzero_si512(); NV];
                    for (v, channels) in channels.iter_mut().enumerate() {
                        *channels = _mm512_loadu_si512(word.add(v * LANES).cast());
                    }
                    word = word.add(NV * LANES);
                    for j in 0..MR {
                        let pixel = _mm512_set1_epi64(*pixels[j].add(step as usize) as i64);
                        for v in 0..NV {
                            let count = _mm512_popcnt_epi64(_mm512_xor_si512(pixel, channels[v]));
                            differing[j][v] = _mm512_add_epi64(differing[j][v], count);
                        }
                    }
                }
            }
            for (differing, sums) in differing.iter().zip(sums.chunks_mut(NV * LANES)) {
                for (&differing, sums) in differing.iter().zip(sums.as_chunks_mut::<LANES>().0) {
                    let sum = _mm256_fmadd_ps(_mm512_cvtepi64_ps(differing), minus_two, all);
                    // SAFETY: each of `sums` has 8 floats.
                    unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), sum) };
                }
            }
        }
    }
}
