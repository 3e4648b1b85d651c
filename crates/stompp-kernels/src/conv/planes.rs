//! Channels of an image group with their zero padding, laid out so that every patch entry is an offset away.

use crate::panel::{Offsets, offset};
use crate::scratch::Scratch;

/// The layout of padded planes, `(image, channel, row, column)`, for a range of the channels of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    channels: std::ops::Range<usize>,
    height: usize,
    width: usize,
    before: usize,
    padded_height: usize,
    padded_width: usize,
    /// From one image to the next.
    image: usize,
}

impl Layout {
    /// Planes of `channels`, of a tensor with `of` channels of `height x width`, with `before` zeros above and to the
    /// left and `after` zeros below and to the right.
    pub(super) fn new(
        channels: std::ops::Range<usize>,
        of: usize,
        (height, width): (usize, usize),
        before: usize,
        after: (usize, usize),
    ) -> Self {
        let (padded_height, padded_width) = (before + height + after.0, before + width + after.1);
        let mut layout = Self {
            channels,
            height,
            width,
            before,
            padded_height,
            padded_width,
            image: 0,
        };
        layout.image = layout.plane() * if layout.is_plain() { of } else { layout.channels.len() };
        layout
    }

    /// Whether there is no padding, so that the tensor itself is the planes.
    fn is_plain(&self) -> bool {
        self.height == self.padded_height && self.width == self.padded_width
    }

    fn plane(&self) -> usize {
        self.padded_height * self.padded_width
    }

    /// Offset of a padded position of the `channel`-th channel of the range, in the first image.
    pub(super) fn entry(&self, channel: usize, row: usize, column: usize) -> u32 {
        offset(self.at(channel, row, column))
    }

    fn at(&self, channel: usize, row: usize, column: usize) -> usize {
        channel * self.plane() + row * self.padded_width + column
    }

    /// Offsets of the positions `(row * stride, column * stride)`, for `rows x columns` positions of `images` images.
    pub(super) fn grid(&self, images: usize, (rows, columns): (usize, usize), stride: usize) -> Offsets {
        let position = |i: usize| self.at(0, i / columns * stride, i % columns * stride);
        (0..images * rows * columns)
            .map(|i| offset(i / (rows * columns) * self.image + position(i % (rows * columns))))
            .collect()
    }

    /// The planes of the images in `x`, each `image_len` long there.
    pub(super) fn stage<'a>(&self, x: &'a [f32], image_len: usize) -> Planes<'a> {
        let in_plane = self.height * self.width;
        if self.is_plain() {
            return Planes::Plain(&x[self.channels.start * in_plane..]);
        }
        let mut staged = Scratch::zeros(x.len() / image_len * self.image);
        let channels = self.channels.start * in_plane..self.channels.end * in_plane;
        let planes = x
            .chunks(image_len)
            .flat_map(|image| image[channels.clone()].chunks(in_plane));
        for (from, to) in planes.zip(staged.chunks_mut(self.plane())) {
            let rows = to.chunks_mut(self.padded_width).skip(self.before);
            for (from, to) in from.chunks(self.width).zip(rows) {
                to[self.before..][..self.width].copy_from_slice(from);
            }
        }
        Planes::Staged(staged)
    }
}

/// Planes in memory.
pub(super) enum Planes<'a> {
    /// The tensor itself, from the first channel on.
    Plain(&'a [f32]),
    /// A copy with padding.
    Staged(Scratch),
}

impl std::ops::Deref for Planes<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Planes::Plain(x) => x,
            Planes::Staged(x) => x,
        }
    }
}
