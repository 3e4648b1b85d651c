//! Crops of images of any size to the square input of a network: [`CropAugmentation`] for training, the centre for evaluation.
//!
//! Both follow torchvision: `RandomResizedCrop(size)`, `RandomHorizontalFlip()` and optionally `ColorJitter(j, j, j)`;
//! and `Resize(size * 8 / 7)`, `CenterCrop(size)`. **A training crop is a pure function of (seed, epoch, record
//! index) and the image's size.**

mod jitter;
pub(crate) mod resize;

use crate::{CHANNELS, Normalization};
use image::RgbImage;
use jitter::Jitter;
use rand::RngExt;
use rand_core::Rng;
use resize::{Region, resized, resized_middle};
use std::ops::RangeInclusive;
use stompp_rng::{Purpose, stream};

/// Share of the image's area that a crop covers.
const SCALE: RangeInclusive<f64> = 0.08..=1.0;
/// Narrowest and widest crop, width over height.
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Number of draws that may not fit before the centre is used instead.
const ATTEMPTS: usize = 10;

/// Augmentation of training images from files: resizes a random part of the image (8 % to 100 % of its area, 3:4 to 4:3, as in
/// C. Szegedy et al., *Going Deeper with Convolutions*, section 6; torchvision's defaults) to the square, mirrors it left to
/// right with probability 1/2, and optionally changes its colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropAugmentation {
    /// Strength of the random changes of brightness, contrast and saturation: in random order, each is multiplied by a factor from
    /// `1 - jitter` (at least 0) to `1 + jitter`. 0 turns them off; 0.4 is common.
    pub jitter: f64,
}

/// The random choices for one training image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RandomCrop {
    pub(crate) region: Region,
    pub(crate) mirrored: bool,
    jitter: Option<Jitter>,
}

impl CropAugmentation {
    pub(crate) fn draw(&self, seed: u64, epoch: u64, index: usize, size: (u32, u32)) -> RandomCrop {
        let mut rng = stream(seed, Purpose::AUGMENTATION, epoch, index as u64);
        RandomCrop {
            region: random_region(&mut rng, size),
            mirrored: rng.random(),
            jitter: (self.jitter > 0.0).then(|| Jitter::draw(self.jitter, &mut rng)),
        }
    }
}

/// Like torchvision's `RandomResizedCrop.get_params`.
fn random_region(rng: &mut impl Rng, (width, height): (u32, u32)) -> Region {
    let area = f64::from(width) * f64::from(height);
    for _ in 0..ATTEMPTS {
        let area = area * rng.random_range(SCALE);
        let [narrow, wide] = RATIO.map(libm::log);
        let ratio = libm::exp(rng.random_range(narrow..=wide));
        let w = (area * ratio).sqrt().round_ties_even() as u32;
        let h = (area / ratio).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            return Region {
                top: rng.random_range(0..=height - h),
                left: rng.random_range(0..=width - w),
                width: w,
                height: h,
            };
        }
    }
    widest_centre((width, height))
}

/// The largest part in the middle that is neither too narrow nor too wide.
fn widest_centre((width, height): (u32, u32)) -> Region {
    let ratio = f64::from(width) / f64::from(height);
    let [narrow, wide] = RATIO;
    let (w, h) = if ratio < narrow {
        (width, (f64::from(width) / narrow).round_ties_even() as u32)
    } else if ratio > wide {
        ((f64::from(height) * wide).round_ties_even() as u32, height)
    } else {
        (width, height)
    };
    Region {
        top: (height - h) / 2,
        left: (width - w) / 2,
        width: w,
        height: h,
    }
}

impl RandomCrop {
    /// Returns the drawn part of `image`, resized to `side` x `side`.
    pub(crate) fn apply(&self, image: &RgbImage, side: u32) -> RgbImage {
        let mut crop = resized(image, self.region, (side, side));
        if let Some(jitter) = &self.jitter {
            jitter.apply(&mut crop);
        }
        crop
    }
}

/// The length of the shorter side before the centre, `side` x `side`, is cut out: 8/7 of `side`, so 256 for 224.
pub(crate) fn short_side(side: u32) -> u32 {
    (side * 8).div_ceil(7)
}

/// The centre, `side` x `side`, of the image after its shorter side was resized to [`short_side`].
pub(crate) fn centre(image: &RgbImage, side: u32) -> RgbImage {
    resized_middle(image, shrunk_size(image.dimensions(), short_side(side)), side)
}

/// Writes the [`centre`] of `image`, normalized, to `out` of shape `(3, side, side)`. Evaluations use it.
pub(crate) fn write_centre(image: &RgbImage, side: u32, normalization: &Normalization, out: &mut [f32]) {
    write_planes(&centre(image, side), false, normalization, out);
}

/// The size of an image after its shorter side was resized to `short`. The longer side is rounded down to a whole pixel, as in
/// torchvision's `Resize`.
pub(crate) fn shrunk_size((width, height): (u32, u32), short: u32) -> (u32, u32) {
    let long = |long: u32, of: u32| (u64::from(short) * u64::from(long) / u64::from(of)) as u32;
    if width <= height {
        (short, long(height, width))
    } else {
        (long(width, height), short)
    }
}

/// Writes `image`, normalized, to `out` of shape `(3, height, width)`.
pub(crate) fn write_planes(image: &RgbImage, mirrored: bool, normalization: &Normalization, out: &mut [f32]) {
    let width = image.width() as usize;
    let plane = width * image.height() as usize;
    assert_eq!(out.len(), CHANNELS * plane, "output is not of the image's shape");
    for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
        let table = normalization.table(channel);
        let rows = image.chunks_exact(CHANNELS * width).zip(out.chunks_exact_mut(width));
        for (row, out) in rows {
            let values = row
                .chunks_exact(CHANNELS)
                .map(|pixel| table[usize::from(pixel[channel])]);
            if mirrored {
                out.iter_mut().rev().zip(values).for_each(|(out, value)| *out = value);
            } else {
                out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelStatistics;
    use image::Rgb;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_those_of_torchvision() {
        // torchvision.transforms.functional._compute_resized_output_size((h, w), [256])
        for (size, expected) in [
            ((500, 375), (341, 256)),
            ((375, 500), (256, 341)),
            ((33, 500), (256, 3878)),
        ] {
            assert_eq!(shrunk_size(size, 256), expected);
        }
    }

    /// The covered area and the logarithm of the ratio are distributed uniformly.
    #[test]
    fn areas_and_ratios_are_uniform() {
        const DRAWS: usize = 20_000;
        const BINS: usize = 20;
        // Only areas below 3/4 of the square are counted: every ratio fits into them, so none of their draws is rejected.
        let size = 4000;
        let (mut areas, mut ratios, mut kept) = ([0.0f64; BINS], [0.0f64; BINS], 0.0);
        for index in 0..DRAWS {
            let Region { width, height, .. } = CropAugmentation { jitter: 0.0 }.draw(1, 2, index, (size, size)).region;
            let (width, height) = (f64::from(width), f64::from(height));
            let area = width * height / f64::from(size).powi(2);
            let ratio = ((width / height).ln() - RATIO[0].ln()) / (RATIO[1].ln() - RATIO[0].ln());
            if area < 0.74 {
                kept += 1.0;
                areas[((area - 0.08) / 0.66 * BINS as f64) as usize % BINS] += 1.0;
                ratios[(ratio * BINS as f64) as usize % BINS] += 1.0;
            }
        }
        for counts in [areas, ratios] {
            let expected = kept / BINS as f64;
            let chi2: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
            // scipy.stats.chi2.ppf([1e-4, 1 - 1e-4], 19)
            assert!((4.0..52.0).contains(&chi2), "chi squared {chi2}: {counts:?}");
        }
    }

    #[test]
    fn narrow_images_are_cropped_in_the_middle() {
        let centre = |size| {
            let Region {
                top,
                left,
                width,
                height,
            } = widest_centre(size);
            (top, left, width, height)
        };
        // torchvision: RandomResizedCrop.get_params(image, (2, 2), (3 / 4, 4 / 3)), which never fits.
        assert_eq!(centre((10, 400)), (193, 0, 10, 13));
        assert_eq!(centre((400, 10)), (0, 193, 13, 10));
        assert_eq!(centre((40, 40)), (0, 0, 40, 40));
        // A line of pixels fits no region of 8 % or more.
        let draw = CropAugmentation { jitter: 0.0 }.draw(0, 0, 0, (1, 1000));
        assert_eq!((draw.region.width, draw.region.height), (1, 1));
    }

    #[test]
    fn mirrors_and_planes_are_where_they_belong() {
        let image = RgbImage::from_fn(2, 3, |x, y| Rgb([x as u8, 10 + y as u8, 20 + x as u8]));
        let identity = Normalization::new(ChannelStatistics {
            mean: [0.0; 3],
            std: [1.0 / 255.0; 3],
        })
        .unwrap();
        let planes = |mirrored| {
            let mut out = [0.0; 18];
            write_planes(&image, mirrored, &identity, &mut out);
            out.map(|value| value.round() as u8)
        };
        assert_eq!(
            planes(false),
            [0, 1, 0, 1, 0, 1, 10, 10, 11, 11, 12, 12, 20, 21, 20, 21, 20, 21]
        );
        assert_eq!(
            planes(true),
            [1, 0, 1, 0, 1, 0, 10, 10, 11, 11, 12, 12, 21, 20, 21, 20, 21, 20]
        );
    }

    proptest! {
        #[test]
        fn regions_lie_inside_and_depend_on_everything(
            seed: u64, epoch in 0u64..100, index in 0usize..1000, width in 1u32..700, height in 1u32..700,
        ) {
            let augmentation = CropAugmentation { jitter: 0.4 };
            let draw = augmentation.draw(seed, epoch, index, (width, height));
            let Region { top, left, width: w, height: h } = draw.region;
            prop_assert!(w > 0 && h > 0 && left + w <= width && top + h <= height);
            prop_assert_eq!(&draw, &augmentation.draw(seed, epoch, index, (width, height)));
            for other in [(seed ^ 1, epoch, index), (seed, epoch + 1, index), (seed, epoch, index + 1)] {
                prop_assert_ne!(&draw, &augmentation.draw(other.0, other.1, other.2, (width, height)));
            }
        }
    }
}
