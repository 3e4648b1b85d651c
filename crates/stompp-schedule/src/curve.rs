//! How the target fraction rises inside a window.

use crate::UnknownName;
use core::f64::consts::FRAC_PI_2;
use strum::{Display, EnumCount, EnumString, IntoStaticStr, VariantArray, VariantNames};

/// Target frozen fraction `p` as a function of `x`, the share of the window that has passed.
///
/// Every curve rises from `p(0) = 0` to `p(1) = 1` without falling in between.
///
/// Source: *paper* for the cubic default and the names of the other four. The formulas of cosine and flipped quadratic
/// are *ours*: they follow from the names.
///
/// ```
/// use stompp_schedule::Curve;
///
/// assert_eq!(Curve::default().fraction(0.5), 0.125);
/// assert_eq!("flipped-quadratic".parse(), Ok(Curve::FlippedQuadratic));
/// ```
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumCount,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = Self::unknown)]
pub enum Curve {
    /// `x`
    Linear,
    /// `x²`
    Quadratic,
    /// `x³`, the paper's default.
    #[default]
    Cubic,
    /// `(1 - cos πx) / 2`
    Cosine,
    /// `1 - (1 - x)²`: fast at first, slow at the end.
    FlippedQuadratic,
}

impl Curve {
    /// Every curve.
    pub const ALL: [Self; Self::COUNT] = *<Self as VariantArray>::VARIANTS.first_chunk().unwrap();

    /// The name that [`FromStr`](core::str::FromStr) reads and [`Display`](core::fmt::Display) writes.
    pub fn name(self) -> &'static str {
        self.into()
    }

    fn unknown(given: &str) -> UnknownName {
        UnknownName::new("curve", <Self as VariantNames>::VARIANTS, given)
    }

    /// Returns the target fraction at `x`, in `[0, 1]`. `x` is clamped to `[0, 1]` first; NaN gives NaN.
    pub fn fraction(self, x: f64) -> f64 {
        let x = x.clamp(0.0, 1.0);
        match self {
            Self::Linear => x,
            Self::Quadratic => x * x,
            Self::Cubic => x * x * x,
            Self::Cosine => {
                // The half-angle form of the same function: nothing cancels near zero.
                let sin = libm::sin(FRAC_PI_2 * x);
                sin * sin
            }
            Self::FlippedQuadratic => 1.0 - (1.0 - x) * (1.0 - x),
        }
    }
}
