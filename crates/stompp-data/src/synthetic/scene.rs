//! The random content of one image: a textured shape in a pose, in front of clutter, with a light.
//!
//! The ranges below were chosen by experiments for a set on which, with a few thousand images, a linear model fails, a float
//! network succeeds, and a deep binary network begins to learn with plain straight-through gradients.

use super::colour::{Colour, mix, muted, with_luma};
use super::shape::Shape;
use super::texture::Texture;
use rand::RngExt;
use rand_core::Rng;

/// Everything about an image except its noise. Lengths are in image coordinates, from -1 to 1.
pub(super) struct Scene {
    figure: Figure,
    clutter: Vec<Stroke>,
    /// Background colours at the two ends of a gradient.
    background: [Colour; 2],
    gradient: (f32, f32),
    /// Brightness in the middle, and its slope along x and y.
    light: (f32, (f32, f32)),
}

/// The labelled object.
struct Figure {
    shape: Shape,
    texture: Texture,
    inks: [Colour; 2],
    centre: (f32, f32),
    /// Direction of the figure's own x axis.
    direction: (f32, f32),
    size: f32,
    stretch: f32,
    /// Periods of the texture per figure coordinate, and their phase.
    frequency: f32,
    phase: (f32, f32),
}

/// A short thick line behind the figure.
struct Stroke {
    colour: Colour,
    centre: (f32, f32),
    direction: (f32, f32),
    half_length: f32,
    half_width: f32,
}

impl Scene {
    /// Draws a random scene with this shape and texture.
    pub(super) fn draw(shape: Shape, texture: Texture, rng: &mut impl Rng) -> Self {
        let ground = mix([0.25; 3], with_luma(0.05..0.4, rng), 0.3);
        let background = [ground, mix(ground, muted(rng), 0.25)];
        // A faint tint of the shape, as natural classes have typical colours. Without it a binary ResNet-20 stayed at chance
        // for most of a short run.
        let first_ink = mix(with_luma(0.6..0.95, rng), shape.tint(), 0.2);
        let second_ink = mix(first_ink, with_luma(0.1..0.4, rng), 0.9);
        let figure = Figure {
            shape,
            texture,
            inks: [first_ink, second_ink],
            centre: (rng.random_range(-0.25..0.25), rng.random_range(-0.25..0.25)),
            direction: direction(rng),
            size: rng.random_range(0.55..0.8),
            stretch: rng.random_range(0.87..1.15),
            frequency: rng.random_range(1.1..1.5),
            phase: (rng.random_range(-0.3..0.3), rng.random_range(-0.3..0.3)),
        };
        let strokes = rng.random_range(1..=3);
        let clutter = (0..strokes).map(|_| Stroke::draw(ground, rng)).collect();
        let gradient = direction(rng);
        let light = (
            rng.random_range(0.85..1.15),
            scaled(direction(rng), rng.random_range(0.0..0.25)),
        );
        Self {
            figure,
            clutter,
            background,
            gradient,
            light,
        }
    }

    /// The colour at a point, without noise. May leave the range from 0 to 1.
    pub(super) fn colour_at(&self, x: f32, y: f32) -> Colour {
        let surface = self.figure.colour_at(x, y).unwrap_or_else(|| self.colour_behind(x, y));
        let (middle, slope) = self.light;
        let light = middle + slope.0 * x + slope.1 * y;
        surface.map(|channel| channel * light)
    }

    /// The colour of clutter or background at a point.
    fn colour_behind(&self, x: f32, y: f32) -> Colour {
        match self.clutter.iter().find(|stroke| stroke.contains(x, y)) {
            Some(stroke) => stroke.colour,
            None => {
                let along = 0.5 + 0.35 * (self.gradient.0 * x + self.gradient.1 * y);
                mix(self.background[0], self.background[1], along)
            }
        }
    }
}

impl Figure {
    /// The ink at a point of the image, if the figure covers it.
    fn colour_at(&self, x: f32, y: f32) -> Option<Colour> {
        let (along, across) = turned((x - self.centre.0, y - self.centre.1), self.direction);
        let (u, v) = (along / (self.size * self.stretch), across * self.stretch / self.size);
        if !self.shape.contains(u, v) {
            return None;
        }
        let marked = self
            .texture
            .is_marked(u * self.frequency + self.phase.0, v * self.frequency + self.phase.1);
        Some(self.inks[usize::from(marked)])
    }
}

impl Stroke {
    fn draw(ground: Colour, rng: &mut impl Rng) -> Self {
        Self {
            colour: mix(ground, muted(rng), 0.7),
            centre: (rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)),
            direction: direction(rng),
            half_length: rng.random_range(0.1..0.45),
            half_width: rng.random_range(0.06..0.12),
        }
    }

    fn contains(&self, x: f32, y: f32) -> bool {
        let (along, across) = turned((x - self.centre.0, y - self.centre.1), self.direction);
        along.abs() < self.half_length && across.abs() < self.half_width
    }
}

/// A random direction: a random point of the disc, normalized. It avoids sine and cosine, whose last bits differ between
/// platforms; division and square root are rounded exactly everywhere.
fn direction(rng: &mut impl Rng) -> (f32, f32) {
    loop {
        let (x, y) = (rng.random_range(-1.0f32..1.0), rng.random_range(-1.0f32..1.0));
        let length2 = x * x + y * y;
        if (0.01..1.0).contains(&length2) {
            return scaled((x, y), 1.0 / length2.sqrt());
        }
    }
}

/// Coordinates of a point along and across a direction.
fn turned((x, y): (f32, f32), (cos, sin): (f32, f32)) -> (f32, f32) {
    (x * cos + y * sin, y * cos - x * sin)
}

fn scaled((x, y): (f32, f32), factor: f32) -> (f32, f32) {
    (x * factor, y * factor)
}
