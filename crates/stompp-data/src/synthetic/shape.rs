//! The ten shapes, each a test of a point in the shape's own coordinates, from about -1 to 1.

use super::colour::Colour;

/// The outline of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Disc,
    Ring,
    Square,
    Triangle,
    Cross,
    Star,
    Crescent,
    Bar,
    Hourglass,
    Ell,
}

impl Shape {
    pub(super) const ALL: [Self; 10] = [
        Self::Disc,
        Self::Ring,
        Self::Square,
        Self::Triangle,
        Self::Cross,
        Self::Star,
        Self::Crescent,
        Self::Bar,
        Self::Hourglass,
        Self::Ell,
    ];

    /// The tint of figures of this shape.
    pub(super) fn tint(self) -> Colour {
        match self {
            Self::Disc => [1.0, 0.3, 0.3],
            Self::Ring => [1.0, 0.7, 0.2],
            Self::Square => [0.8, 0.9, 0.1],
            Self::Triangle => [0.2, 0.8, 0.2],
            Self::Cross => [0.1, 0.9, 0.8],
            Self::Star => [0.3, 0.6, 1.0],
            Self::Crescent => [0.5, 0.3, 1.0],
            Self::Bar => [1.0, 0.3, 0.9],
            Self::Hourglass => [1.0, 1.0, 1.0],
            Self::Ell => [0.5, 0.5, 0.5],
        }
    }

    /// Whether the point `(x, y)` lies inside.
    pub(super) fn contains(self, x: f32, y: f32) -> bool {
        let within = |width: f32, height: f32| x.abs() < width && y.abs() < height;
        let radius2 = x * x + y * y;
        match self {
            Self::Disc => radius2 < 0.8,
            Self::Ring => (0.3..1.1).contains(&radius2),
            Self::Square => within(0.82, 0.82),
            Self::Triangle => within_lines(&TRIANGLE, x, y, 0.55) == 3,
            Self::Cross => within(0.3, 1.05) || within(1.05, 0.3),
            // The points on the inner side of at least four of the five lines of a pentagram.
            Self::Star => within_lines(&PENTAGON, x, y, 0.4) >= 4,
            Self::Crescent => radius2 < 1.1 && (x - 0.55) * (x - 0.55) + y * y > 0.75,
            Self::Bar => within(1.15, 0.33),
            Self::Hourglass => y.abs() < 1.0 && x.abs() < 0.12 + 0.85 * y.abs(),
            Self::Ell => within(0.95, 0.95) && (x < -0.35 || y > 0.35),
        }
    }
}

/// Unit normals of the sides of a regular triangle.
const TRIANGLE: [(f32, f32); 3] = [(0.0, 1.0), (0.866_025_4, -0.5), (-0.866_025_4, -0.5)];

/// Unit normals of the sides of a regular pentagon.
const PENTAGON: [(f32, f32); 5] = [
    (0.0, 1.0),
    (0.951_056_5, 0.309_017),
    (0.587_785_25, -0.809_017),
    (-0.587_785_25, -0.809_017),
    (-0.951_056_5, 0.309_017),
];

/// Number of lines, given by their normals and their distance from the origin, that have `(x, y)` on the origin's side.
fn within_lines(normals: &[(f32, f32)], x: f32, y: f32, distance: f32) -> usize {
    normals.iter().filter(|(nx, ny)| nx * x + ny * y < distance).count()
}
