//! The layout of one image of bits with zero padding, and the positions of its patches.

use super::BitTensor;
use crate::conv::ConvShape;

/// The positions of patches in the padded image, in pixels. The channels of a pixel are contiguous words.
pub(super) struct BitLayout {
    in_height: usize,
    in_width: usize,
    padding: usize,
    /// Words of a pixel.
    pub(super) words: usize,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) out_width: usize,
    /// The start of every output pixel's patch.
    pub(super) starts: Vec<usize>,
    /// The offset of every tap of the kernel from the start, row by row.
    pub(super) taps: Vec<usize>,
}

impl BitLayout {
    pub(super) fn new(s: &ConvShape) -> Self {
        let padded_width = s.in_width + 2 * s.padding;
        let grid = |rows: usize, columns: usize, step: usize| {
            (0..rows * columns)
                .map(|i| (i / columns * padded_width + i % columns) * step)
                .collect()
        };
        Self {
            in_height: s.in_height,
            in_width: s.in_width,
            padding: s.padding,
            words: s.in_channels.div_ceil(u64::BITS as usize),
            channels: s.in_channels,
            kernel: s.kernel,
            stride: s.stride,
            out_width: s.out_width(),
            starts: grid(s.out_height(), s.out_width(), s.stride),
            taps: grid(s.kernel, s.kernel, 1),
        }
    }

    /// Copies image `number` of `x` with padding, `(row, column, word)`.
    pub(super) fn stage(&self, x: &BitTensor, number: usize) -> Vec<u64> {
        let image = x.image(number);
        if self.padding == 0 {
            return image.to_vec();
        }
        let (row, margin) = (self.in_width * self.words, self.padding * self.words);
        let mut padded = vec![0; (self.in_height + 2 * self.padding) * (row + 2 * margin)];
        let rows = padded.chunks_mut(row + 2 * margin).skip(self.padding);
        for (from, to) in image.chunks(row).zip(rows) {
            to[margin..margin + row].copy_from_slice(from);
        }
        padded
    }
}
