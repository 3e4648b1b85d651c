//! Random brightness, contrast and saturation, as torchvision's `ColorJitter` on Pillow images (there is no change of hue).

use image::RgbImage;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_core::Rng;

/// The changes to an image, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Jitter([(Property, f32); 3]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    Brightness,
    Contrast,
    Saturation,
}

impl Jitter {
    pub(super) fn draw(strength: f64, rng: &mut impl Rng) -> Self {
        let mut order = [Property::Brightness, Property::Contrast, Property::Saturation];
        order.shuffle(rng);
        Self(order.map(|property| {
            let factor = rng.random_range((1.0 - strength).max(0.0)..=1.0 + strength);
            (property, factor as f32)
        }))
    }

    pub(super) fn apply(&self, image: &mut RgbImage) {
        for &(property, factor) in &self.0 {
            change(image, property, factor);
        }
    }
}

/// Blends a picture without the property (factor 0) with the image (factor 1). Factors above 1 extrapolate.
fn change(image: &mut RgbImage, property: Property, factor: f32) {
    match property {
        Property::Brightness => image.iter_mut().for_each(|value| *value = blend(0.0, *value, factor)),
        Property::Contrast => {
            let sum: u64 = image.pixels().map(|pixel| u64::from(grey(pixel.0))).sum();
            let pixels = u64::from(image.width()) * u64::from(image.height());
            let mean = (sum as f64 / pixels as f64 + 0.5).floor() as f32;
            image.iter_mut().for_each(|value| *value = blend(mean, *value, factor));
        }
        Property::Saturation => image.pixels_mut().for_each(|pixel| {
            let grey = f32::from(grey(pixel.0));
            pixel.0 = pixel.0.map(|value| blend(grey, value, factor));
        }),
    }
}

/// Luma of ITU-R 601-2, in the integer arithmetic of Pillow.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Like Pillow: clamps to 0..=255 and truncates the fraction.
fn blend(from: f32, to: u8, factor: f32) -> u8 {
    (from + factor * (f32::from(to) - from)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    /// ```python
    /// import numpy as np
    /// from PIL import Image, ImageEnhance as E
    /// im = Image.fromarray((np.arange(12) ** 2 * 23 % 256).astype(np.uint8).reshape(2, 2, 3))
    /// for enhance in (E.Brightness, E.Contrast, E.Color):
    ///     for factor in (0.7, 1.4): print(np.asarray(enhance(im).enhance(factor)).reshape(-1).tolist())
    /// ```
    #[test]
    fn changes_are_those_of_pillow() {
        let pixels: Vec<u8> = (0..12u32).map(|i| (i * i * 23 % 256) as u8).collect();
        let mut golden = GOLDEN.iter();
        for property in [Property::Brightness, Property::Contrast, Property::Saturation] {
            for factor in [0.7, 1.4] {
                let mut image = RgbImage::from_raw(2, 2, pixels.clone()).unwrap();
                change(&mut image, property, factor);
                assert_eq!(image.as_raw(), golden.next().unwrap(), "{property:?} {factor}");
            }
        }
    }

    const GOLDEN: [[u8; 12]; 6] = [
        [0, 16, 64, 144, 78, 44, 42, 72, 134, 49, 176, 156],
        [0, 32, 128, 255, 156, 88, 84, 144, 255, 99, 255, 255],
        [34, 50, 98, 179, 112, 78, 76, 106, 168, 83, 210, 190],
        [0, 0, 83, 244, 111, 42, 38, 98, 223, 53, 255, 255],
        [7, 23, 71, 185, 118, 84, 72, 102, 164, 108, 234, 214],
        [0, 22, 119, 235, 102, 34, 44, 104, 228, 21, 255, 234],
    ];

    #[test]
    fn factors_and_orders_vary_within_their_bounds() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let draws: Vec<Jitter> = (0..200).map(|_| Jitter::draw(0.4, &mut rng)).collect();
        let factors: Vec<f32> = draws.iter().flat_map(|draw| draw.0.map(|(_, factor)| factor)).collect();
        assert!(factors.iter().all(|factor| (0.6..=1.4).contains(factor)));
        assert!(factors.iter().any(|&factor| factor < 0.7) && factors.iter().any(|&factor| factor > 1.3));
        let mut firsts = draws.iter().map(|draw| draw.0[0].0 as u8).collect::<Vec<_>>();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, [0, 1, 2]);
    }
}
