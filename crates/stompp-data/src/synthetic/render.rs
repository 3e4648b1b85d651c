//! Rendering of a scene: four samples per pixel, then noise.

use super::scene::Scene;
use crate::cifar::SIDE;
use rand::RngExt;
use rand_core::Rng;

/// The positions of a pixel's samples: a square rotated by about 27 degrees, so that a horizontal or vertical edge never passes
/// through two of them at once.
const SAMPLES: [(f32, f32); 4] = [(-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)];

/// Writes the planes of the image, shape `(3, 32, 32)`.
pub(super) fn render(scene: &Scene, rng: &mut impl Rng, planes: &mut [u8]) {
    // The sum of two uniform bytes minus its mean has a standard deviation of 104 levels.
    let noise_scale = rng.random_range(0.02..0.1f32);
    let mut noise = [[0u8; 2]; SIDE * SIDE * 3];
    rng.fill_bytes(noise.as_flattened_mut());
    let to_image = |position: usize, offset: f32| (position as f32 + 0.5 + offset) * (2.0 / SIDE as f32) - 1.0;
    for row in 0..SIDE {
        for column in 0..SIDE {
            let mut sum = [0.0; 3];
            for (dx, dy) in SAMPLES {
                let colour = scene.colour_at(to_image(column, dx), to_image(row, dy));
                for (sum, channel) in sum.iter_mut().zip(colour) {
                    *sum += channel;
                }
            }
            for (channel, sum) in sum.into_iter().enumerate() {
                let place = (channel * SIDE + row) * SIDE + column;
                let noise = f32::from(noise[place][0]) + f32::from(noise[place][1]) - 255.0;
                let level = sum * (255.0 / SAMPLES.len() as f32) + noise * noise_scale;
                // The cast rounds towards zero and saturates.
                planes[place] = (level + 0.5) as u8;
            }
        }
    }
}
