//! Testing whether runs support a claim.

use crate::statistics::{ENOUGH_SEEDS, Summary};
use std::fmt;

/// A claim that was tested, and the outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimTest {
    /// The claim.
    pub claim: String,
    /// Whether the runs support it.
    pub outcome: ClaimOutcome,
    /// The numbers behind the outcome.
    pub evidence: String,
}

/// Whether the runs support a claim. Reports and results show its [`Display`](fmt::Display) text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum ClaimOutcome {
    /// The interval agrees with the claim, and there are at least five seeds.
    #[strum(to_string = "holds")]
    Holds,
    /// The numbers agree with the claim, but there are too few seeds to be sure.
    #[strum(to_string = "seen, too few seeds to tell")]
    TooFewSeeds,
    /// The numbers neither support nor contradict the claim.
    #[strum(to_string = "unclear")]
    Unclear,
    /// The numbers contradict the claim.
    #[strum(to_string = "fails")]
    Fails,
    /// The runs that the claim is about are missing.
    #[strum(to_string = "not tested")]
    Untested,
}

impl ClaimTest {
    /// Tests the claim that a mean is above zero.
    pub fn positive(claim: String, summary: Option<Summary>) -> Self {
        let outcome = |summary: &Summary| match summary.interval {
            Some([low, _]) if low > 0.0 => agreeing(summary),
            Some([_, high]) if high < 0.0 => ClaimOutcome::Fails,
            Some(_) => ClaimOutcome::Unclear,
            None if summary.mean > 0.0 => ClaimOutcome::TooFewSeeds,
            None => ClaimOutcome::Fails,
        };
        Self::new(claim, summary, outcome)
    }

    /// Tests the claim that a mean is within `bound` of zero.
    pub fn within(claim: String, summary: Option<Summary>, bound: f64) -> Self {
        let outcome = |summary: &Summary| match summary.interval {
            Some([low, high]) if -bound <= low && high <= bound => agreeing(summary),
            Some([low, high]) if high < -bound || low > bound => ClaimOutcome::Fails,
            Some(_) => ClaimOutcome::Unclear,
            None if summary.mean.abs() <= bound => ClaimOutcome::TooFewSeeds,
            None => ClaimOutcome::Fails,
        };
        Self::new(claim, summary, outcome)
    }

    fn new(claim: String, summary: Option<Summary>, outcome: impl Fn(&Summary) -> ClaimOutcome) -> Self {
        Self {
            claim,
            outcome: summary.as_ref().map_or(ClaimOutcome::Untested, outcome),
            evidence: summary.as_ref().map_or("no runs".to_owned(), Summary::to_string),
        }
    }
}

/// The outcome of a claim that the interval agrees with.
fn agreeing(summary: &Summary) -> ClaimOutcome {
    if summary.n >= ENOUGH_SEEDS {
        ClaimOutcome::Holds
    } else {
        ClaimOutcome::TooFewSeeds
    }
}

/// `+3.2 [+1.0, +5.1], n = 3`
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.1}", self.mean)?;
        if let Some([low, high]) = self.interval {
            write!(f, " [{low:+.1}, {high:+.1}]")?;
        }
        write!(f, ", n = {}", self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(n: usize, mean: f64, interval: Option<[f64; 2]>) -> Option<Summary> {
        Some(Summary { n, mean, interval })
    }

    fn positive(summary: Option<Summary>) -> ClaimOutcome {
        ClaimTest::positive(String::new(), summary).outcome
    }

    #[test]
    fn a_claim_holds_only_by_enough_seeds() {
        assert_eq!(positive(summary(5, 2.0, Some([0.5, 3.0]))), ClaimOutcome::Holds);
        assert_eq!(positive(summary(3, 2.0, Some([0.5, 3.0]))), ClaimOutcome::TooFewSeeds);
        assert_eq!(positive(summary(1, 2.0, None)), ClaimOutcome::TooFewSeeds);
        assert_eq!(positive(summary(9, 2.0, Some([-0.5, 3.0]))), ClaimOutcome::Unclear);
        assert_eq!(positive(summary(3, -2.0, Some([-3.0, -1.0]))), ClaimOutcome::Fails);
        assert_eq!(positive(summary(1, -2.0, None)), ClaimOutcome::Fails);
        assert_eq!(positive(None), ClaimOutcome::Untested);
    }

    #[test]
    fn the_same_means_within_the_bound() {
        let within = |summary| ClaimTest::within(String::new(), summary, 2.0).outcome;
        assert_eq!(within(summary(5, 0.5, Some([-1.0, 1.5]))), ClaimOutcome::Holds);
        assert_eq!(within(summary(2, 0.5, Some([-1.0, 1.5]))), ClaimOutcome::TooFewSeeds);
        assert_eq!(within(summary(5, 0.5, Some([-3.0, 1.5]))), ClaimOutcome::Unclear);
        assert_eq!(within(summary(5, 4.0, Some([2.5, 6.0]))), ClaimOutcome::Fails);
        assert_eq!(within(summary(1, -4.0, None)), ClaimOutcome::Fails);
    }

    #[test]
    fn evidence_is_the_number_with_its_interval() {
        let test = ClaimTest::positive("a".to_owned(), summary(3, 2.04, Some([-0.5, 3.0])));
        assert_eq!(test.evidence, "+2.0 [-0.5, +3.0], n = 3");
        assert_eq!(
            ClaimTest::positive("a".to_owned(), summary(1, -2.0, None)).evidence,
            "-2.0, n = 1"
        );
    }
}
