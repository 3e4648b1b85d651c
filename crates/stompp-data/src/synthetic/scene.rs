//! What one image shows, drawn at random: a textured shape in a pose, before clutter, in a light, with noise.

use super::shape::Shape;
use super::texture::Texture;
use rand::RngExt;
use rand_core::Rng;
use std::ops::Range;

/// Red, green, blue; 0 is black, 1 is white.
pub(super) type Colour = [f32; 3];

/// Everything about an image but its noise. Lengths are in image coordinates: the image reaches from -1 to 1.
pub(super) struct Scene {
    figure: Figure,
    clutter: Vec<Stroke>,
    /// Background colours at the two ends of a gradient.
    background: [Colour; 2],
    gradient: (f32, f32),
    /// Brightness in the middle and how it changes across the image.
    light: (f32, (f32, f32)),
}

/// The object that the label speaks of.
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
    /// A random scene that shows this shape with this texture.
    pub(super) fn draw(shape: Shape, texture: Texture, rng: &mut impl Rng) -> Self {
        let ground = with_luma(0.05..0.4, rng);
        let background = [ground, mix(ground, colour(rng), 0.25)];
        let first_ink = with_luma(0.6..0.95, rng);
        let second_ink = mix(first_ink, with_luma(0.3..0.6, rng), 0.8);
        let figure = Figure {
            shape,
            texture,
            inks: [first_ink, second_ink],
            centre: (rng.random_range(-0.26..0.26), rng.random_range(-0.26..0.26)),
            direction: upright(0.7, rng),
            size: rng.random_range(0.48..0.72),
            stretch: rng.random_range(0.87..1.15),
            frequency: rng.random_range(1.3..1.7),
            phase: (rng.random_range(-0.25..0.25), rng.random_range(-0.25..0.25)),
        };
        let strokes = rng.random_range(2..=4);
        Self {
            figure,
            clutter: (0..strokes).map(|_| Stroke::draw(ground, rng)).collect(),
            background,
            gradient: direction(rng),
            light: (
                rng.random_range(0.75..1.1),
                scaled(direction(rng), rng.random_range(0.0..0.25)),
            ),
        }
    }

    /// The colour at a point, without noise. May leave the range from 0 to 1.
    pub(super) fn colour_at(&self, x: f32, y: f32) -> Colour {
        let surface = self.figure.colour_at(x, y).unwrap_or_else(|| {
            let stroke = self.clutter.iter().find(|stroke| stroke.covers(x, y));
            let along = 0.5 + 0.35 * (self.gradient.0 * x + self.gradient.1 * y);
            stroke.map_or_else(
                || mix(self.background[0], self.background[1], along),
                |stroke| stroke.colour,
            )
        });
        let (middle, slope) = self.light;
        let light = middle + slope.0 * x + slope.1 * y;
        surface.map(|channel| channel * light)
    }
}

impl Figure {
    /// The ink at a point of the image, if the figure covers it.
    fn colour_at(&self, x: f32, y: f32) -> Option<Colour> {
        let (x, y) = (x - self.centre.0, y - self.centre.1);
        let (cos, sin) = self.direction;
        let u = (x * cos + y * sin) / (self.size * self.stretch);
        let v = (y * cos - x * sin) * self.stretch / self.size;
        self.shape.contains(u, v).then(|| {
            let marked = self
                .texture
                .marks(u * self.frequency + self.phase.0, v * self.frequency + self.phase.1);
            self.inks[usize::from(marked)]
        })
    }
}

impl Stroke {
    fn draw(ground: Colour, rng: &mut impl Rng) -> Self {
        Self {
            colour: mix(ground, colour(rng), 0.7),
            centre: (rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)),
            direction: direction(rng),
            half_length: rng.random_range(0.1..0.45),
            half_width: rng.random_range(0.06..0.12),
        }
    }

    fn covers(&self, x: f32, y: f32) -> bool {
        let (x, y) = (x - self.centre.0, y - self.centre.1);
        let (cos, sin) = self.direction;
        (x * cos + y * sin).abs() < self.half_length && (y * cos - x * sin).abs() < self.half_width
    }
}

fn colour(rng: &mut impl Rng) -> Colour {
    [rng.random(), rng.random(), rng.random()]
}

/// A random colour of a luma in `range`.
fn with_luma(range: Range<f32>, rng: &mut impl Rng) -> Colour {
    loop {
        let candidate @ [r, g, b] = colour(rng);
        if range.contains(&(0.299 * r + 0.587 * g + 0.114 * b)) {
            return candidate;
        }
    }
}

fn mix(a: Colour, b: Colour, share_of_b: f32) -> Colour {
    std::array::from_fn(|channel| a[channel] + share_of_b * (b[channel] - a[channel]))
}

/// A direction within a slope of the x axis.
fn upright(slope: f32, rng: &mut impl Rng) -> (f32, f32) {
    let y: f32 = rng.random_range(-slope..slope);
    scaled((1.0, y), 1.0 / (1.0 + y * y).sqrt())
}

/// A random direction: a point of the disc, pushed to its rim. Unlike sine and cosine, whose last bits differ between
/// platforms, division and square root are exact everywhere.
fn direction(rng: &mut impl Rng) -> (f32, f32) {
    loop {
        let (x, y) = (rng.random_range(-1.0f32..1.0), rng.random_range(-1.0f32..1.0));
        let length2 = x * x + y * y;
        if (0.01..1.0).contains(&length2) {
            return scaled((x, y), 1.0 / length2.sqrt());
        }
    }
}

fn scaled((x, y): (f32, f32), factor: f32) -> (f32, f32) {
    (x * factor, y * factor)
}
