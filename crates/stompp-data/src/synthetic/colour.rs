//! Colours of the synthetic images: muted, so that shape and texture stay visible.

use rand::RngExt;
use rand_core::Rng;
use std::ops::Range;

/// Red, green, blue; 0 is black, 1 is white.
pub(super) type Colour = [f32; 3];

/// A random colour, closer to grey than to a pure hue.
pub(super) fn muted(rng: &mut impl Rng) -> Colour {
    let grey: f32 = rng.random();
    mix([grey; 3], [rng.random(), rng.random(), rng.random()], 0.4)
}

/// A random muted colour with a luma in `range`. The function draws until one fits, so the range, inside 0 to 1, must not be too narrow.
pub(super) fn with_luma(range: Range<f32>, rng: &mut impl Rng) -> Colour {
    loop {
        let candidate @ [r, g, b] = muted(rng);
        if range.contains(&(0.299 * r + 0.587 * g + 0.114 * b)) {
            return candidate;
        }
    }
}

/// Mixes `a` with a share of `b`.
pub(super) fn mix(a: Colour, b: Colour, share_of_b: f32) -> Colour {
    std::array::from_fn(|channel| a[channel] + share_of_b * (b[channel] - a[channel]))
}
