//! Lengths of training with a unit: epochs, steps, or a share of the whole training.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A length of training: `20ep` (epochs, also fractions), `4000ba` (batches, that is, optimizer steps) or `5%` of the
/// whole training.
///
/// ```
/// use stompp_train::config::Time;
///
/// assert_eq!("20ep".parse::<Time>()?.steps(39, 0), 780);
/// assert_eq!("5%".parse::<Time>()?.steps(39, 780), 39);
/// assert_eq!(Time::Steps(4000).to_string(), "4000ba");
/// # Ok::<(), stompp_train::config::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Time {
    /// Passes over the training images; finite, at least 0.
    Epochs(f64),
    /// Optimizer steps.
    Steps(u64),
    /// Percent of the whole training, in [0, 100].
    Share(f64),
}

impl Time {
    /// Converts the time to optimizer steps, rounded to the nearest, for a training of `whole` steps.
    pub fn steps(self, steps_per_epoch: u64, whole: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => (epochs * steps_per_epoch as f64).round() as u64,
            Self::Steps(steps) => steps,
            Self::Share(percent) => (percent / 100.0 * whole as f64).round() as u64,
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(f, "{epochs}ep"),
            Self::Steps(steps) => write!(f, "{steps}ba"),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

/// The text is not a [`Time`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time: expected epochs, as in `20ep`, steps, as in `4000ba`, or a share of the training, as in `5%`"
)]
pub struct TimeError(String);

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(given: &str) -> Result<Self, TimeError> {
        let number = |text: &str, most: f64| text.parse().ok().filter(|n| (0.0..=most).contains(n));
        let time = if let Some(epochs) = given.strip_suffix("ep") {
            number(epochs, f64::MAX).map(Self::Epochs)
        } else if let Some(percent) = given.strip_suffix('%') {
            number(percent, 100.0).map(Self::Share)
        } else if let Some(steps) = given.strip_suffix("ba") {
            steps.parse().ok().map(Self::Steps)
        } else {
            None
        };
        time.ok_or_else(|| TimeError(given.to_owned()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::text::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        for text in ["20ep", "0.5ep", "4000ba", "0ba", "5%", "2.5%", "100%"] {
            assert_eq!(text.parse::<Time>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn shares_and_epochs_round_to_the_nearest_step() {
        assert_eq!(Time::Share(5.0).steps(0, 1872), 94); // 93.6
        assert_eq!(Time::Share(30.0).steps(0, 1875), 563); // 562.5, away from zero
        assert_eq!(Time::Epochs(0.5).steps(625, 0), 313); // 312.5
        assert_eq!(
            Time::Epochs(1e300).steps(10, 0),
            u64::MAX,
            "absurd times saturate and are refused later"
        );
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for text in [
            "",
            "20",
            "ep",
            "-1ep",
            "infep",
            "NaNep",
            "1.5ba",
            "-3ba",
            "101%",
            "-1%",
            "20 epochs",
            "5%%",
        ] {
            let error = text.parse::<Time>().expect_err(text);
            assert!(
                error.to_string().starts_with(&format!("`{text}` is not a time")),
                "{error}"
            );
        }
    }
}
