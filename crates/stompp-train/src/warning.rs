//! Reasons to doubt the result of a run that ended without an error.

use crate::Evaluation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A test accuracy counts as no better than chance up to this many standard deviations above the accuracy of guessing.
const DEVIATIONS: f64 = 2.0;

/// A loss of at least this many times the loss of guessing is doubtful.
const GROWN: f64 = 10.0;

/// A reason to doubt the result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "concern", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// The deploy network classifies no better than chance.
    Chance {
        /// Its top-1 accuracy, in percent.
        top1: f64,
        /// The top-1 accuracy of guessing, in percent.
        chance: f64,
    },
    /// The final loss is at least ten times the loss of guessing.
    Loss {
        /// The larger of the training and the test loss.
        loss: f64,
        /// The loss of guessing: the natural logarithm of the number of classes.
        guessing: f64,
    },
}

impl Warning {
    /// The warnings for a run with these evaluations, on `images` test images of `classes` classes.
    pub(crate) fn find_all(evaluations: &[Evaluation], classes: usize, images: usize) -> Vec<Self> {
        let Some(last) = evaluations.last() else {
            return Vec::new();
        };
        let p = 1.0 / classes as f64;
        let deviation = (p * (1.0 - p) / images as f64).sqrt();
        let (top1, chance) = (last.top1, 100.0 * p);
        let (loss, guessing) = (last.train_loss.max(last.test_loss), (classes as f64).ln());
        let by_chance = (top1 <= 100.0 * (p + DEVIATIONS * deviation)).then_some(Self::Chance { top1, chance });
        let grown = (loss >= GROWN * guessing).then_some(Self::Loss { loss, guessing });
        by_chance.into_iter().chain(grown).collect()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chance { top1, chance } => write!(
                f,
                "the deploy network is no better than chance: top-1 {top1:.2} %, guessing {chance:.2} % (another learning rate or \
                 longer training may help)"
            ),
            Self::Loss { loss, guessing } => write!(
                f,
                "the loss ended at {loss:.0}, guessing has {guessing:.1}: the training has diverged (a lower learning rate may help)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(top1: f64, train_loss: f64, test_loss: f64) -> Vec<Warning> {
        let last = Evaluation {
            step: 1,
            epoch: 1.0,
            train_loss,
            test_loss,
            top1,
            top1_as_it_stands: top1,
            committed_units: 0,
            committed_fraction: 0.0,
            frozen_fraction: 0.0,
        };
        Warning::find_all(&[last], 10, 10_000)
    }

    #[test]
    fn a_result_that_is_no_better_than_chance_or_diverged_is_doubted() {
        assert_eq!(found(11.0, 2.2, 2.3), [], "3.3 standard deviations above chance");
        assert_eq!(
            found(10.5, 2.3, 2.3),
            [Warning::Chance {
                top1: 10.5,
                chance: 10.0
            }]
        );
        assert_eq!(found(9.0, 2.3, 2.3).len(), 1);
        assert_eq!(found(40.0, 2.3, 23.0), [], "10 ln 10 is 23.03");
        let grown = found(40.0, 177_252.0, 2.3);
        assert!(matches!(grown[..], [Warning::Loss { loss: 177_252.0, .. }]));
        assert!(
            grown[0]
                .to_string()
                .starts_with("the loss ended at 177252, guessing has 2.3")
        );
        assert_eq!(found(10.0, 2.0, 1e6).len(), 2);
    }
}
