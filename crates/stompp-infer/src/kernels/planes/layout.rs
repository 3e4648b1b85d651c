//! The layout of a staged image: planes of 4 channels, with one byte a pixel.

use super::{LANES, VECTORS};
use crate::kernels::{tail::bytes_of_pixel, window::Windows};

/// The byte of a padding pixel.
const PADDING: u8 = 0x80;

/// The planes of a staged image. With stride `s`, each plane is split into `s * s` parts, one for each row and column modulo `s`.
/// Neighbouring output pixels then read neighbouring bytes.
#[derive(Clone, Copy)]
pub(super) struct PlaneLayout {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) padding: usize,
    pub(super) stride: usize,
    /// Rows and columns of a part of a plane.
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl PlaneLayout {
    pub(super) fn new(w: &Windows) -> Self {
        let [channels, height, width] = w.input;
        Self {
            channels,
            height,
            width,
            padding: w.padding,
            stride: w.stride,
            rows: (height + 2 * w.padding).div_ceil(w.stride),
            columns: (width + 2 * w.padding).div_ceil(w.stride),
        }
    }

    /// Returns the offset of a pixel of the padded image in the first plane.
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        let part = row % self.stride * self.stride + column % self.stride;
        (part * self.rows + row / self.stride) * self.columns + column / self.stride
    }

    /// Number of bytes of a plane.
    pub(super) fn plane(&self) -> usize {
        self.stride * self.stride * self.rows * self.columns
    }

    /// Number of bytes of all planes, including the bytes that vector loads read after the last one.
    pub(super) fn len(&self) -> usize {
        self.channels / 4 * self.plane() + VECTORS * LANES
    }

    /// Splits the bits of an image into planes.
    #[target_feature(enable = "avx2")]
    pub(super) fn stage(&self, input: &[u8], staged: &mut [u8]) {
        let of_pixel = bytes_of_pixel(self.channels);
        staged[..self.len()].fill(PADDING);
        let planes = [self.plane(), self.channels / 4];
        for (row, pixels) in input.chunks_exact(self.width * of_pixel).take(self.height).enumerate() {
            for part in 0..self.stride {
                // The first column of this part that is in the image.
                let first = (part + self.stride - self.padding % self.stride) % self.stride;
                if first >= self.width {
                    continue;
                }
                let to = self.at(row + self.padding, first + self.padding);
                let count = (self.width - first).div_ceil(self.stride);
                let step = self.stride * of_pixel;
                split_nibbles(
                    &pixels[first * of_pixel..],
                    step,
                    of_pixel,
                    count,
                    planes,
                    &mut staged[to..],
                );
            }
        }
    }
}

/// Writes the nibbles of `count` pixels to `planes` planes, which are `plane` bytes apart. A pixel has `of_pixel` bytes; the distance
/// between pixels is `step` bytes.
#[inline(always)]
pub(super) fn split_nibbles(
    from: &[u8],
    step: usize,
    of_pixel: usize,
    count: usize,
    [plane, planes]: [usize; 2],
    to: &mut [u8],
) {
    for byte in 0..of_pixel {
        take_bytes(from, step, byte, &mut to[2 * byte * plane..][..count], |byte| byte & 15);
        if 2 * byte + 1 < planes {
            take_bytes(from, step, byte, &mut to[(2 * byte + 1) * plane..][..count], |byte| {
                byte >> 4
            });
        }
    }
}

/// Writes byte `byte` of each group of `step` bytes, changed by `change`, to `to`. Common steps are constants, so that the compiler can
/// use vector shuffles.
#[inline(always)]
pub(super) fn take_bytes(from: &[u8], step: usize, byte: usize, to: &mut [u8], change: impl Fn(u8) -> u8) {
    #[inline(always)]
    fn groups<const STEP: usize>(from: &[u8], byte: usize, to: &mut [u8], change: impl Fn(u8) -> u8) {
        let (groups, rest) = from.as_chunks::<STEP>();
        for (to, group) in to.iter_mut().zip(groups) {
            *to = change(group[byte]);
        }
        // The last group may end right after its byte.
        if let (Some(to), Some(from)) = (to.get_mut(groups.len()), rest.get(byte)) {
            *to = change(*from);
        }
    }
    match step {
        1 => groups::<1>(from, byte, to, change),
        2 => groups::<2>(from, byte, to, change),
        4 => groups::<4>(from, byte, to, change),
        8 => groups::<8>(from, byte, to, change),
        _ => {
            for (to, from) in to.iter_mut().zip(from[byte..].iter().step_by(step)) {
                *to = change(*from);
            }
        }
    }
}

/// Reverses [`take_bytes`] for all bytes of a pixel. Byte `b` of the pixels starts at `b * plane` in `from`.
#[inline(always)]
pub(super) fn put_pixels(from: &[u8], plane: usize, of_pixel: usize, to: &mut [u8]) {
    #[inline(always)]
    fn pixels<const BYTES: usize>(from: &[u8], plane: usize, to: &mut [u8]) {
        let to = to.as_chunks_mut::<BYTES>().0;
        let planes: [&[u8]; BYTES] = core::array::from_fn(|byte| &from[byte * plane..][..to.len()]);
        for (pixel, to) in to.iter_mut().enumerate() {
            *to = core::array::from_fn(|byte| planes[byte][pixel]);
        }
    }
    match of_pixel {
        1 => pixels::<1>(from, plane, to),
        2 => pixels::<2>(from, plane, to),
        4 => pixels::<4>(from, plane, to),
        8 => pixels::<8>(from, plane, to),
        _ => {
            for (byte, from) in (0..of_pixel).zip(from.chunks(plane)) {
                let to = to[byte..].iter_mut().step_by(of_pixel);
                to.zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}
