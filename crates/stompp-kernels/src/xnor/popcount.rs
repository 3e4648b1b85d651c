//! Counting differing bits by population count of whole words.

use super::planes::Layout;
use crate::simd::{Level, Simd};

/// Weights of some output channels: for each word of a patch, that of every channel.
#[derive(Clone, Debug)]
pub(super) struct WordPanel {
    simd: Simd,
    width: usize,
    /// Entries of a patch.
    entries: usize,
    /// `(word of a patch, channel)`.
    words: Vec<u64>,
}

impl WordPanel {
    /// Whether the processor counts bits in vectors.
    pub(super) fn is_vectorized(simd: Simd) -> bool {
        #[cfg(target_arch = "x86_64")]
        return simd.level() == Level::Avx512 && is_x86_feature_detected!("avx512vpopcntdq");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Channels in a panel, for a convolution with `channels` output channels.
    pub(super) fn width(simd: Simd, channels: usize) -> usize {
        match Self::is_vectorized(simd) {
            true if channels > 16 => 32,
            true => 16,
            false => 8,
        }
    }

    /// Packs at most `width` kernels for patches of `entries` entries; missing channels are zeros.
    pub(super) fn new(simd: Simd, width: usize, entries: usize, kernels: &[&[u64]]) -> Self {
        let mut words = vec![0; kernels[0].len() * width];
        for (channel, kernel) in kernels.iter().enumerate() {
            words[channel..]
                .iter_mut()
                .step_by(width)
                .zip(*kernel)
                .for_each(|(to, from)| *to = *from);
        }
        Self {
            simd,
            width,
            entries,
            words,
        }
    }

    /// `sums[pixel][channel]`: dot products of all patches of a staged image with the panel's kernels.
    pub(super) fn products(&self, planes: &[u64], layout: &Layout, sums: &mut [f32]) {
        let steps: Vec<u32> = layout
            .taps
            .iter()
            .flat_map(|tap| (0..layout.words).map(move |word| (tap * layout.words + word) as u32))
            .collect();
        let starts: Vec<usize> = layout.starts.iter().map(|start| start * layout.words).collect();
        let reach = starts
            .iter()
            .max()
            .zip(steps.iter().max())
            .map_or(0, |(start, step)| start + *step as usize + 1);
        assert!(reach <= planes.len() && self.words.len() == steps.len() * self.width);
        assert!(sums.len() >= starts.len() * self.width);
        #[cfg(target_arch = "x86_64")]
        if Self::is_vectorized(self.simd) {
            // SAFETY: the processor has the instructions; the assertions hold every read and write in its slice.
            unsafe {
                match self.width {
                    32 => vectors::products::<4, 4>(planes, &starts, &steps, &self.words, self.entries, sums),
                    _ => vectors::products::<8, 2>(planes, &starts, &steps, &self.words, self.entries, sums),
                }
            }
            return;
        }
        self.simd.vectorize(
            #[inline(always)]
            || self.products_by_words(planes, &starts, &steps, sums),
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
                *sum = (self.entries as i64 - 2 * i64::from(differing)) as f32;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::*;

    /// Output channels of a vector.
    const LANES: usize = 8;

    /// Tiles of `MR` pixels and `NV` vectors of channels, whose 16 counts stay in registers.
    ///
    /// # Safety
    ///
    /// Every sum of a start and a step is an index of `planes`, `words` has `NV * 8` words a step, and `sums` as many
    /// floats a start.
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
            let start: [usize; MR] = std::array::from_fn(|j| starts[j.min(starts.len() - 1)]);
            let mut differing = [[_mm512_setzero_si512(); NV]; MR];
            let mut word = words.as_ptr();
            for &step in steps {
                // SAFETY: by the contract.
                unsafe {
                    let pixels = planes.as_ptr().add(step as usize);
                    let channels: [__m512i; NV] =
                        std::array::from_fn(|v| _mm512_loadu_si512(word.add(v * LANES).cast()));
                    word = word.add(NV * LANES);
                    for j in 0..MR {
                        let pixel = _mm512_set1_epi64(*pixels.add(start[j]) as i64);
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
                    // SAFETY: `sums` are 8 floats.
                    unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), sum) };
                }
            }
        }
    }
}
