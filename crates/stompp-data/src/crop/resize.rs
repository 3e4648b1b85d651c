//! Resizing with antialiasing, like Pillow's `BILINEAR`: a triangle filter as wide as the scale factor, in integer arithmetic.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ImageView, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use std::cell::RefCell;

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) top: u32,
    pub(crate) left: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Region {
    pub(crate) fn whole((width, height): (u32, u32)) -> Self {
        Self {
            top: 0,
            left: 0,
            width,
            height,
        }
    }
}

thread_local! {
    /// Reuses its buffers for each image.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Resizes `region` of `image` to `size` (width, height). Pixels outside of the region have no influence.
///
/// # Panics
/// Panics if the region is not inside the image.
pub(crate) fn resized(image: &RgbImage, region: Region, size: (u32, u32)) -> RgbImage {
    let source = pixels_of(image);
    let source = TypedCroppedImage::from_ref(&source, region.left, region.top, region.width, region.height)
        .expect("the region is inside the image");
    convolved(&source, size, ResizeOptions::new())
}

/// Returns the middle `side` x `side` pixels of `image` resized to `size` (width, height). The other pixels are not computed.
///
/// # Panics
/// Panics if `size` is smaller than the middle.
pub(crate) fn resized_middle(image: &RgbImage, size: (u32, u32), side: u32) -> RgbImage {
    // Start and length in pixels of the source. Python's `round`, which torchvision uses, rounds ties to even.
    let span = |source: u32, target: u32| {
        let scale = f64::from(source) / f64::from(target);
        let start = (f64::from(target - side) / 2.0).round_ties_even() * scale;
        (start, (f64::from(side) * scale).min(f64::from(source) - start))
    };
    let (left, width) = span(image.width(), size.0);
    let (top, height) = span(image.height(), size.1);
    let options = ResizeOptions::new().crop(left, top, width, height);
    convolved(&pixels_of(image), (side, side), options)
}

fn pixels_of(image: &RgbImage) -> TypedImageRef<'_, U8x3> {
    TypedImageRef::from_buffer(image.width(), image.height(), image).expect("an image has its pixels")
}

fn convolved(source: &impl ImageView<Pixel = U8x3>, (width, height): (u32, u32), options: ResizeOptions) -> RgbImage {
    let mut target = RgbImage::new(width, height);
    let mut view = TypedImage::from_buffer(width, height, &mut target).expect("an image has its pixels");
    let options = options.resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize_typed(source, &mut view, &options))
        .expect("the part is inside the source");
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// ```python
    /// import numpy as np
    /// from PIL import Image
    /// a = (np.arange(9 * 12 * 3) ** 2 * 7 % 251).astype(np.uint8).reshape(9, 12, 3)
    /// im = Image.fromarray(a).crop((1, 2, 11, 8))
    /// np.asarray(im.resize((3, 2), Image.BILINEAR)).reshape(-1).tolist()
    /// np.asarray(im.resize((4, 9), Image.BILINEAR)).sum((0, 1)).tolist()
    /// ```
    #[test]
    fn crops_are_resized_as_pillow_does() {
        let pixels = (0..9 * 12 * 3u64).map(|i| (i * i * 7 % 251) as u8).collect();
        let image = RgbImage::from_raw(12, 9, pixels).unwrap();
        let region = Region {
            top: 2,
            left: 1,
            width: 10,
            height: 6,
        };
        let small = resized(&image, region, (3, 2));
        let close = |(ours, expected): (&u8, &u8)| ours.abs_diff(*expected) <= 1;
        assert!(small.iter().zip(&SMALL).all(close), "{:?}", small.as_raw());
        let large = resized(&image, region, (4, 9));
        for (channel, expected) in LARGE_SUMS.into_iter().enumerate() {
            let sum: i32 = large.pixels().map(|pixel| i32::from(pixel[channel])).sum();
            assert!((sum - expected).abs() <= 36, "channel {channel}: {sum}");
        }
    }

    const SMALL: [u8; 18] = [
        163, 134, 90, 137, 161, 138, 98, 135, 156, 146, 147, 67, 95, 112, 68, 156, 128, 73,
    ];
    const LARGE_SUMS: [i32; 3] = [4762, 4911, 3482];

    #[test]
    fn what_lies_outside_has_no_influence() {
        let region = Region {
            top: 4,
            left: 4,
            width: 8,
            height: 8,
        };
        let framed = RgbImage::from_fn(16, 16, |x, y| {
            let inside = (4..12).contains(&x) && (4..12).contains(&y);
            Rgb(if inside { [100; 3] } else { [255; 3] })
        });
        for side in [3, 8, 20] {
            assert!(resized(&framed, region, (side, side)).iter().all(|&value| value == 100));
        }
    }

    #[test]
    fn the_middle_is_that_of_the_whole() {
        let image = RgbImage::from_fn(61, 40, |x, y| Rgb([(x * 4) as u8, (y * 6) as u8, (x * y) as u8]));
        let whole = resized(&image, Region::whole((61, 40)), (24, 16));
        let middle = image::imageops::crop_imm(&whole, 5, 1, 14, 14).to_image();
        let ours = resized_middle(&image, (24, 16), 14);
        assert!(ours.iter().zip(middle.iter()).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    /// As a whole, the resized line of pixels would have three gigabytes.
    #[test]
    fn the_middle_of_a_line_is_cheap() {
        let line = RgbImage::from_fn(1, 16_000, |_, y| Rgb([(y / 100) as u8; 3]));
        let middle = resized_middle(&line, (256, 4_096_000), 224);
        assert!(middle.pixels().all(|pixel| (78..=81).contains(&pixel[0])));
    }
}
