//! How slowly a mask follows its target.

use alloc::string::String;
use core::ops::Range;
use core::{fmt, str::FromStr};

/// Refresh rate `r`: at each step about `1/r` of a unit's entries are redrawn.
///
/// It is either a number of steps, the same for every window (written `100`), or a fraction of the unit's window (written
/// `0.1w` for a tenth). With a fraction, short and long trainings freeze alike.
///
/// `r` should be small compared with the window: the frozen fraction lags behind its target by about `r` steps. With `r`
/// near the window's length, only a fifth of the entries is frozen at the end of the window; the rest is then committed
/// at once.
///
/// Source: *paper* for a number of steps and its default of 100 (robust from 10 to 1000); the fraction is *ours*.
///
/// ```
/// use stompp_schedule::RefreshRate;
///
/// assert_eq!(RefreshRate::default().resolve(0..2000), 100.0);
/// assert_eq!("0.1w".parse::<RefreshRate>()?.resolve(0..2000), 200.0);
/// assert_eq!("0.1w".parse::<RefreshRate>()?.resolve(0..5), 1.0);
/// # Ok::<(), stompp_schedule::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefreshRate(Rate);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    /// Finite, at least 1.
    Steps(f64),
    /// In `(0, 1]`.
    WindowFraction(f64),
}

impl RefreshRate {
    /// A refresh rate of `r` steps.
    ///
    /// # Errors
    ///
    /// Returns [`RateError::Steps`] if `r` is not finite or is below 1.
    pub fn from_steps(r: f64) -> Result<Self, RateError> {
        if r.is_finite() && r >= 1.0 {
            Ok(Self(Rate::Steps(r)))
        } else {
            Err(RateError::Steps(r))
        }
    }

    /// A refresh rate that is a fraction of the unit's window.
    ///
    /// # Errors
    ///
    /// Returns [`RateError::WindowFraction`] if `fraction` is not in `(0, 1]`.
    pub fn from_window_fraction(fraction: f64) -> Result<Self, RateError> {
        if fraction > 0.0 && fraction <= 1.0 {
            Ok(Self(Rate::WindowFraction(fraction)))
        } else {
            Err(RateError::WindowFraction(fraction))
        }
    }

    /// Returns `r` for a unit with this `window` of steps. It is finite and at least 1.
    pub fn resolve(self, window: Range<u64>) -> f64 {
        match self.0 {
            Rate::Steps(r) => r,
            Rate::WindowFraction(fraction) => (fraction * window.end.saturating_sub(window.start) as f64).max(1.0),
        }
    }
}

impl Default for RefreshRate {
    /// 100 steps, as in the paper.
    fn default() -> Self {
        Self(Rate::Steps(100.0))
    }
}

impl fmt::Display for RefreshRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rate::Steps(r) => write!(f, "{r}"),
            Rate::WindowFraction(fraction) => write!(f, "{fraction}w"),
        }
    }
}

impl FromStr for RefreshRate {
    type Err = RateError;

    fn from_str(given: &str) -> Result<Self, RateError> {
        let number = |text: &str| text.parse().map_err(|_| RateError::Syntax(given.into()));
        match given.strip_suffix('w') {
            Some(fraction) => Self::from_window_fraction(number(fraction)?),
            None => Self::from_steps(number(given)?),
        }
    }
}

/// A number or a text is not a refresh rate.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RateError {
    /// Not a finite number of steps of at least 1.
    Steps(f64),
    /// Not a fraction of the window in `(0, 1]`.
    WindowFraction(f64),
    /// Neither a number nor a number followed by `w`.
    Syntax(String),
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(r) => write!(f, "a refresh rate in steps must be finite and at least 1, got {r}"),
            Self::WindowFraction(fraction) => {
                write!(
                    f,
                    "a refresh rate as a fraction of the window must be above 0 and at most 1, got {fraction}"
                )
            }
            Self::Syntax(given) => write!(
                f,
                "`{given}` is not a refresh rate: expected steps, as in `100`, or a fraction of the window, as in `0.1w`"
            ),
        }
    }
}

impl core::error::Error for RateError {}
