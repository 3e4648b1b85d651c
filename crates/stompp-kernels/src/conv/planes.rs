//! Layouts of an image group in which every patch entry has a fixed offset from the start of the patch.

use std::ops::Range;

use super::ImageBatch;
use crate::panel::offset;
use crate::scratch::Scratch;
use crate::transpose::copy;

/// The layout of padded planes, `(image, channel, row, column)`, for a range of the channels of a tensor.
#[derive(Clone, Debug)]
pub(super) struct PlaneLayout {
    channels: Range<usize>,
    of: usize,
    height: usize,
    width: usize,
    before: usize,
    padded_height: usize,
    padded_width: usize,
}

impl PlaneLayout {
    /// Creates a layout for `channels` of a tensor with `of` channels of `height x width`. The planes have `before` zeros above and to the
    /// left and `after` zeros below and to the right.
    pub(super) fn new(
        channels: Range<usize>,
        of: usize,
        (height, width): (usize, usize),
        before: usize,
        after: (usize, usize),
    ) -> Self {
        let (padded_height, padded_width) = (before + height + after.0, before + width + after.1);
        Self {
            channels,
            of,
            height,
            width,
            before,
            padded_height,
            padded_width,
        }
    }

    /// Whether there is no padding, so that the tensor can be used directly.
    fn is_plain(&self) -> bool {
        self.height == self.padded_height && self.width == self.padded_width
    }

    fn plane(&self) -> usize {
        self.padded_height * self.padded_width
    }

    /// Distance between neighbouring images.
    fn image(&self) -> usize {
        self.plane() * if self.is_plain() { self.of } else { self.channels.len() }
    }

    /// Returns the offset of a padded position of the `channel`-th channel of the range, in the first image.
    pub(super) fn entry(&self, channel: usize, row: usize, column: usize) -> u32 {
        offset(channel * self.plane() + row * self.padded_width + column)
    }

    /// Lists the offsets of the positions `(row * stride, column * stride)`, for `rows x columns` positions of `images` images.
    pub(super) fn grid(
        &self,
        images: usize,
        (rows, columns): (usize, usize),
        stride: usize,
    ) -> impl Iterator<Item = u32> {
        let in_image = move |row, column| (row * self.padded_width + column) * stride;
        (0..images).flat_map(move |image| {
            (0..rows).flat_map(move |row| {
                (0..columns).map(move |column| offset(image * self.image() + in_image(row, column)))
            })
        })
    }

    /// Returns the planes of the images in `x`.
    pub(super) fn stage<'a>(&self, x: &'a [f32]) -> Planes<'a> {
        let images = ImageBatch {
            channels: self.of,
            plane: self.height * self.width,
        };
        if self.is_plain() {
            return Planes::Plain(&x[self.channels.start * images.plane..]);
        }
        let mut staged = Scratch::zeros(x.len() / images.len() * self.image());
        let channels = self.channels.start * images.plane..self.channels.end * images.plane;
        let planes = x
            .chunks(images.len())
            .flat_map(|image| image[channels.clone()].chunks(images.plane));
        for (from, to) in planes.zip(staged.chunks_mut(self.plane())) {
            let rows = to[self.before * self.padded_width + self.before..].chunks_mut(self.padded_width);
            for (from, to) in from.chunks(self.width).zip(rows) {
                copy(from, &mut to[..self.width]);
            }
        }
        Planes::Staged(staged)
    }
}

/// The layout of single pixels for 1x1 kernels without padding: `(block, channel, pixel)` with [`PixelBlocks::PIXELS`] pixels a block.
///
/// In planes, each channel of a pixel is on its own page, and a product over all channels waits for address translation. A block has only
/// a few pages.
#[derive(Clone, Debug)]
pub(super) struct PixelBlocks {
    pub(super) images: ImageBatch,
}

impl PixelBlocks {
    const PIXELS: usize = 16;

    /// Returns the offset of a channel in a block.
    pub(super) fn entry(&self, channel: usize) -> u32 {
        offset(channel * Self::PIXELS)
    }

    /// Lists the offsets of the pixels of `images` images.
    pub(super) fn grid(&self, images: usize) -> impl Iterator<Item = u32> {
        let block = self.images.channels * Self::PIXELS;
        (0..images * self.images.plane).map(move |pixel| offset(pixel / Self::PIXELS * block + pixel % Self::PIXELS))
    }

    /// Copies the images in `x` to blocks.
    pub(super) fn stage(&self, x: &[f32]) -> Scratch {
        let block = self.images.channels * Self::PIXELS;
        let mut staged = Scratch::new((x.len() / self.images.len() * self.images.plane).div_ceil(Self::PIXELS) * block);
        for (image, x) in x.chunks(self.images.len()).enumerate() {
            for (channel, mut x) in x.chunks(self.images.plane).enumerate() {
                let mut at = image * self.images.plane;
                while !x.is_empty() {
                    // Up to the end of the block.
                    let count = (Self::PIXELS - at % Self::PIXELS).min(x.len());
                    let to = at / Self::PIXELS * block + channel * Self::PIXELS + at % Self::PIXELS;
                    copy(&x[..count], &mut staged[to..][..count]);
                    x = &x[count..];
                    at += count;
                }
            }
        }
        staged
    }
}

/// The planes of an image group.
pub(super) enum Planes<'a> {
    /// The tensor itself, starting at the first channel of the range.
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
