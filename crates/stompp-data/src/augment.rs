//! Random crop with zero padding and horizontal flip: **a pure function of (seed, epoch, record index)**.

use crate::{CHANNELS, Normalization};
use rand::RngExt;
use std::ops::Range;
use stompp_rng::{Purpose, stream};

/// How training images are augmented: padded with black by `padding` pixels on every side, cropped back to their size
/// at a uniformly random place, and mirrored left to right with probability 1/2.
///
/// As in K. He et al., *Deep Residual Learning for Image Recognition*, section 4.2 (padding 4 at 32x32), in torchvision's
/// terms `RandomCrop(size, padding)` and `RandomHorizontalFlip()`, so the padding is black *before* normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// Pixels of padding on each side, usually an eighth of the image's side: 4 at 32x32, 2 at 16x16 (*ours*).
    pub padding: u16,
}

impl Augmentation {
    /// Where record `index` is cropped in `epoch`, and whether it is mirrored.
    pub fn placement(&self, seed: u64, epoch: u64, index: usize) -> Placement {
        let mut rng = stream(seed, Purpose::AUGMENTATION, epoch, index as u64);
        let padding = i32::from(self.padding);
        Placement {
            down: rng.random_range(-padding..=padding),
            right: rng.random_range(-padding..=padding),
            mirrored: rng.random(),
        }
    }
}

/// One outcome of the augmentation: where the crop lies in the image, and whether it is mirrored afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Rows by which the crop lies below the image, negative if above.
    pub down: i32,
    /// Columns by which the crop lies to the right of the image, negative if to the left.
    pub right: i32,
    /// Whether the crop is mirrored left to right.
    pub mirrored: bool,
}

impl Placement {
    /// The image as it is.
    pub const IDENTITY: Self = Self {
        down: 0,
        right: 0,
        mirrored: false,
    };

    /// Writes the crop of `image` (shape `(3, height, width)`), normalized, to `out` (the same shape). What lies outside
    /// of the image is black.
    ///
    /// # Panics
    /// If `image` or `out` is not of this shape.
    pub fn apply(self, image: &[u8], (height, width): (usize, usize), normalization: &Normalization, out: &mut [f32]) {
        assert_eq!(image.len(), out.len(), "image and output differ in size");
        assert_eq!(
            image.len(),
            CHANNELS * height * width,
            "image is not of the shape stated"
        );
        // Columns of the crop that the image covers: `inside` of the crop is `source` of the image.
        let (inside, source) = overlap(self.right, width);
        let planes = image
            .chunks_exact(height * width)
            .zip(out.chunks_exact_mut(height * width));
        for (channel, (plane, out)) in planes.enumerate() {
            let table = normalization.table(channel);
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let Some(from) = row.checked_add_signed(self.down as isize).filter(|&from| from < height) else {
                    out.fill(table[0]);
                    continue;
                };
                let pixels = &plane[from * width..][source.clone()];
                let values = pixels.iter().map(|&pixel| table[usize::from(pixel)]);
                let covered = if self.mirrored {
                    width - inside.end..width - inside.start
                } else {
                    inside.clone()
                };
                out[..covered.start].fill(table[0]);
                out[covered.end..].fill(table[0]);
                let covered = out[covered].iter_mut();
                if self.mirrored {
                    covered.rev().zip(values).for_each(|(out, value)| *out = value);
                } else {
                    covered.zip(values).for_each(|(out, value)| *out = value);
                }
            }
        }
    }
}

/// Where a crop moved by `shift` overlaps an image of the same `width`: the range in the crop, and in the image.
fn overlap(shift: i32, width: usize) -> (Range<usize>, Range<usize>) {
    let lost = (shift.unsigned_abs() as usize).min(width);
    let (head, tail) = (0..width - lost, lost..width);
    if shift < 0 { (tail, head) } else { (head, tail) }
}
