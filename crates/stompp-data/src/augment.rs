//! Random crop with zero padding and horizontal flip: **a pure function of (seed, epoch, record index)**.

use crate::{CHANNELS, Normalization};
use rand::RngExt;
use std::ops::Range;
use stompp_rng::{Purpose, stream};

/// Augmentation of training images: pads each side with `padding` black pixels, crops back to the original size at a
/// uniformly random place, and mirrors left to right with probability 1/2.
///
/// As in K. He et al., *Deep Residual Learning for Image Recognition*, section 4.2 (padding 4 at 32x32), in torchvision's
/// terms `RandomCrop(size, padding)` and `RandomHorizontalFlip()`, so the padding is black *before* normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// Pixels of padding on each side, usually an eighth of the image's side: 4 at 32x32, 2 at 16x16 (*ours*).
    pub padding: u16,
}

impl Augmentation {
    /// Returns the crop and mirroring of record `index` in `epoch`.
    pub fn crop_params(&self, seed: u64, epoch: u64, index: usize) -> CropParams {
        let mut rng = stream(seed, Purpose::AUGMENTATION, epoch, index as u64);
        let padding = i32::from(self.padding);
        CropParams {
            down: rng.random_range(-padding..=padding),
            right: rng.random_range(-padding..=padding),
            mirrored: rng.random(),
        }
    }
}

/// The random choices for one image: the place of the crop, and whether it is mirrored afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropParams {
    /// Offset of the crop in rows: positive is down.
    pub down: i32,
    /// Offset of the crop in columns: positive is right.
    pub right: i32,
    /// Whether the crop is mirrored left to right.
    pub mirrored: bool,
}

impl CropParams {
    /// No crop and no mirroring.
    pub const IDENTITY: Self = Self {
        down: 0,
        right: 0,
        mirrored: false,
    };

    /// Writes the crop of `image` (shape `(3, height, width)`), normalized, to `out` (the same shape). Pixels outside of
    /// the image are black.
    ///
    /// # Panics
    /// Panics if `image` or `out` does not have this shape.
    pub fn apply(self, image: &[u8], (height, width): (usize, usize), normalization: &Normalization, out: &mut [f32]) {
        assert_eq!(image.len(), out.len(), "image and output differ in size");
        assert_eq!(
            image.len(),
            CHANNELS * height * width,
            "image is not of the shape stated"
        );
        // The image covers the columns `inside` of the crop; they are the columns `source` of the image.
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

/// The overlap of an image with a crop of the same `width` moved by `shift`: the range in the crop, and in the image.
fn overlap(shift: i32, width: usize) -> (Range<usize>, Range<usize>) {
    let lost = (shift.unsigned_abs() as usize).min(width);
    let (head, tail) = (0..width - lost, lost..width);
    if shift < 0 { (tail, head) } else { (head, tail) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelStatistics;
    use proptest::prelude::*;

    /// Maps a byte to `byte / 255` in the first channel, and to that minus 1 and minus 2 in the others.
    fn normalization() -> Normalization {
        Normalization::new(ChannelStatistics {
            mean: [0.0, 1.0, 2.0],
            std: [1.0; 3],
        })
        .unwrap()
    }

    fn applied(crop: CropParams, image: &[u8], size: (usize, usize)) -> Vec<f32> {
        let mut out = vec![f32::NAN; image.len()];
        crop.apply(image, size, &normalization(), &mut out);
        out
    }

    /// Inverts [`normalization`].
    fn bytes(values: &[f32]) -> Vec<u8> {
        let plane = values.len() / 3;
        values
            .iter()
            .enumerate()
            .map(|(i, value)| ((value + (i / plane) as f32) * 255.0).round() as u8)
            .collect()
    }

    /// Golden pixels on an image of 4 rows and 5 columns, so that swaps of rows, columns or channels show:
    /// ```python
    /// import numpy as np
    /// from PIL import Image, ImageOps
    /// a = (np.arange(3 * 4 * 5) ** 2 * 11 % 256).astype(np.uint8).reshape(3, 4, 5)
    /// im = Image.fromarray(np.ascontiguousarray(a.transpose(1, 2, 0)))
    /// for d, r, m in ((1, -2, False), (-2, 1, True)):
    ///     crop = ImageOps.expand(im, 2).crop((2 + r, 2 + d, 2 + r + 5, 2 + d + 4))
    ///     crop = ImageOps.mirror(crop) if m else crop
    ///     print(np.asarray(crop).transpose(2, 0, 1).reshape(-1).tolist())
    /// ```
    #[test]
    fn crops_and_mirrors_are_those_of_pillow() {
        let image: Vec<u8> = (0..60u32).map(|i| (i * i * 11 % 256) as u8).collect();
        let crop = applied(
            CropParams {
                down: 1,
                right: -2,
                mirrored: false,
            },
            &image,
            (4, 5),
        );
        let expected = [
            [0, 0, 19, 140, 27, 0, 0, 76, 51, 48, 0, 0, 171, 0, 107, 0, 0, 0, 0, 0],
            [0, 0, 219, 12, 83, 0, 0, 172, 75, 0, 0, 0, 163, 176, 211, 0, 0, 0, 0, 0],
            [
                0, 0, 3, 236, 235, 0, 0, 108, 195, 48, 0, 0, 251, 192, 155, 0, 0, 0, 0, 0,
            ],
        ];
        assert_eq!(bytes(&crop), expected.as_flattened());
        let crop = applied(
            CropParams {
                down: -2,
                right: 1,
                mirrored: true,
            },
            &image,
            (4, 5),
        );
        let expected = [
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 176, 99, 44, 11, 0, 123, 192, 27, 140],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 187, 204, 243, 0, 35, 176, 83, 12],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 48, 115, 204, 59, 0, 43, 0, 235, 236],
        ];
        assert_eq!(bytes(&crop), expected.as_flattened());
    }

    /// ```python
    /// import torch  # ToTensor, then Normalize with the statistics of CIFAR-10
    /// x = torch.tensor([7, 133, 250], dtype=torch.uint8).to(torch.float32).div(255)
    /// x.sub(torch.tensor([0.4914, 0.4822, 0.4465])).div(torch.tensor([0.2470, 0.2435, 0.2616])).view(torch.int32)
    /// ```
    #[test]
    fn normalization_is_that_of_torchvision_to_the_bit() {
        let mean = [0.4914, 0.4822, 0.4465];
        let normalization = Normalization::new(ChannelStatistics {
            mean,
            std: [0.2470, 0.2435, 0.2616],
        })
        .unwrap();
        let mut out = [0.0; 3];
        CropParams::IDENTITY.apply(&[7, 133, 250], (1, 1), &normalization, &mut out);
        assert_eq!(out.map(f32::to_bits), [0xbff0_6d52, 0x3e25_8efd, 0x4002_9da7]);
    }

    #[test]
    fn placements_are_uniform_and_depend_on_everything() {
        let augmentation = Augmentation { padding: 2 };
        let mut seen = std::collections::BTreeMap::new();
        for index in 0..10_000 {
            let CropParams { down, right, mirrored } = augmentation.crop_params(1, 2, index);
            *seen.entry((down, right, mirrored)).or_insert(0.0) += 1.0;
        }
        assert!(
            seen.keys()
                .all(|(down, right, _)| (-2..=2).contains(down) && (-2..=2).contains(right))
        );
        let chi2: f64 = seen.values().map(|count: &f64| (count - 200.0).powi(2) / 200.0).sum();
        // 50 outcomes: scipy.stats.chi2.ppf([1e-4, 1 - 1e-4], 49).
        assert_eq!(seen.len(), 50);
        assert!((20.38..94.60).contains(&chi2), "chi squared {chi2}");

        let of = |seed, epoch| {
            (0..100)
                .map(|i| augmentation.crop_params(seed, epoch, i))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(2, 2));
        assert_ne!(of(1, 2), of(1, 3));
    }

    proptest! {
        #[test]
        fn every_pixel_comes_from_where_the_placement_says(
            (height, width) in (1usize..6, 1usize..6), down in -8i32..8, right in -8i32..8, mirrored: bool, salt: u8,
        ) {
            let image: Vec<u8> = (0..3 * height * width).map(|i| (i as u8).wrapping_mul(37) ^ salt).collect();
            let crop = bytes(&applied(CropParams { down, right, mirrored }, &image, (height, width)));
            for (place, &pixel) in crop.iter().enumerate() {
                let (channel, row, column) = (place / (height * width), place / width % height, place % width);
                let column = if mirrored { width - 1 - column } else { column };
                let (row, column) = (row as i32 + down, column as i32 + right);
                let inside = (0..height as i32).contains(&row) && (0..width as i32).contains(&column);
                let from = (channel * height + row.max(0) as usize) * width + column.max(0) as usize;
                prop_assert_eq!(pixel, if inside { image[from] } else { 0 });
            }
        }
    }
}
