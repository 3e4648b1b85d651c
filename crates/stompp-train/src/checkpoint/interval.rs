//! The interval between checkpoints.

use crate::config::{ConfigError, Time, TimeError, Timeline};
use std::{fmt, str::FromStr};

/// Time between checkpoints: a [`Time`] of training (`1ep`, `500ba`, `5%`) or minutes of wall time (`10min`).
///
/// ```
/// use stompp_train::{CheckpointInterval, config::Time};
///
/// assert_eq!("500ba".parse(), Ok(CheckpointInterval::Training(Time::Steps(500))));
/// assert_eq!("10min".parse(), Ok(CheckpointInterval::Minutes(10.0)));
/// # Ok::<(), stompp_train::config::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CheckpointInterval {
    /// A time of training.
    Training(Time),
    /// Minutes of wall time; above 0.
    Minutes(f64),
}

impl Default for CheckpointInterval {
    fn default() -> Self {
        Self::Training(Time::Epochs(1.0))
    }
}

impl fmt::Display for CheckpointInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Training(time) => time.fmt(f),
            Self::Minutes(minutes) => write!(f, "{minutes}min"),
        }
    }
}

impl FromStr for CheckpointInterval {
    type Err = TimeError;

    fn from_str(given: &str) -> Result<Self, TimeError> {
        let minutes = given.strip_suffix("min").and_then(|minutes| minutes.parse().ok());
        match minutes.filter(|&minutes: &f64| minutes.is_finite() && minutes > 0.0) {
            Some(minutes) => Ok(Self::Minutes(minutes)),
            None => given.parse().map(Self::Training),
        }
    }
}

/// A [`CheckpointInterval`] converted to steps or seconds of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum ResolvedInterval {
    Steps(u64),
    Seconds(f64),
}

impl ResolvedInterval {
    /// Converts `interval` for a run with the given timeline.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] if the interval is less than one step.
    pub(super) fn new(interval: CheckpointInterval, timeline: &Timeline) -> Result<Self, ConfigError> {
        match interval {
            CheckpointInterval::Minutes(minutes) => Ok(Self::Seconds(60.0 * minutes)),
            CheckpointInterval::Training(time) => match time.steps(timeline.steps_per_epoch, timeline.steps) {
                0 => Err(ConfigError::Field {
                    field: "checkpoints.every",
                    problem: format!("{time} is less than one step"),
                }),
                steps => Ok(Self::Steps(steps)),
            },
        }
    }

    /// The number of checkpoints that were due within `step` steps or `seconds` seconds.
    pub(super) fn count_due(self, step: u64, seconds: f64) -> u64 {
        match self {
            Self::Steps(steps) => step / steps,
            Self::Seconds(interval) => (seconds / interval) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_back_and_others_are_refused() {
        for text in ["500ba", "1ep", "5%", "10min", "0.5min"] {
            assert_eq!(text.parse::<CheckpointInterval>().expect(text).to_string(), text);
        }
        for text in ["0min", "-1min", "NaNmin", "infmin", "min", "10 minutes", "10"] {
            text.parse::<CheckpointInterval>().expect_err(text);
        }
    }
}
