//! The ten textures, each a test whether a point has the second of two colours. Lengths are in periods of the texture.

/// A two-coloured pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texture {
    Plain,
    Stripes,
    Checks,
    Dots,
    Rings,
    Zigzag,
    Grid,
    Bricks,
    Halves,
    Quarters,
}

impl Texture {
    pub(super) const ALL: [Self; 10] = [
        Self::Plain,
        Self::Stripes,
        Self::Checks,
        Self::Dots,
        Self::Rings,
        Self::Zigzag,
        Self::Grid,
        Self::Bricks,
        Self::Halves,
        Self::Quarters,
    ];

    /// Whether the point `(x, y)` has the second colour.
    pub(super) fn is_marked(self, x: f32, y: f32) -> bool {
        let (in_x, in_y) = (fraction(x), fraction(y));
        let triangle_wave = |t: f32| (fraction(t) - 0.5).abs();
        match self {
            Self::Plain => false,
            Self::Stripes => in_y < 0.5,
            Self::Checks => (in_x < 0.5) != (in_y < 0.5),
            Self::Dots => (in_x - 0.5) * (in_x - 0.5) + (in_y - 0.5) * (in_y - 0.5) < 0.11,
            Self::Rings => fraction((x * x + y * y).sqrt()) < 0.5,
            Self::Zigzag => fraction(y + 2.0 * triangle_wave(0.5 * x)) < 0.5,
            Self::Grid => in_x < 0.28 || in_y < 0.28,
            Self::Bricks => in_y < 0.28 || fraction(0.5 * (x + y.floor())) < 0.18,
            Self::Halves => x > 0.0,
            Self::Quarters => (x > 0.0) != (y > 0.0),
        }
    }
}

fn fraction(x: f32) -> f32 {
    x - x.floor()
}
