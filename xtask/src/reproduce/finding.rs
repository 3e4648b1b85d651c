//! What the runs say of one claim, in words that say no more than the numbers do.

use super::statistics::{ENOUGH, Summary};
use std::fmt;

/// A claim and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) claim: String,
    pub(crate) verdict: Verdict,
    /// The numbers behind the verdict.
    pub(crate) evidence: String,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The interval agrees with it, and there are enough seeds for one.
    Holds,
    /// The numbers agree with it, but there are too few seeds to be sure.
    Seen,
    /// The numbers allow both.
    Unclear,
    /// The numbers speak against it.
    Fails,
    /// The runs that it needs are not there.
    Untested,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Holds => "holds",
            Self::Seen => "seen, too few seeds to tell",
            Self::Unclear => "unclear",
            Self::Fails => "fails",
            Self::Untested => "not tested",
        })
    }
}

impl Finding {
    /// The claim that a mean is above zero.
    pub(crate) fn positive(claim: String, summary: &Option<Summary>) -> Self {
        let verdict = |summary: &Summary| match summary.interval {
            Some([low, _]) if low > 0.0 => sure(summary),
            Some([_, high]) if high < 0.0 => Verdict::Fails,
            Some(_) => Verdict::Unclear,
            None if summary.mean > 0.0 => Verdict::Seen,
            None => Verdict::Fails,
        };
        Self::new(claim, summary, verdict)
    }

    /// The claim that a mean is within `bound` of zero.
    pub(crate) fn within(claim: String, summary: &Option<Summary>, bound: f64) -> Self {
        let verdict = |summary: &Summary| match summary.interval {
            Some([low, high]) if -bound <= low && high <= bound => sure(summary),
            Some([low, high]) if high < -bound || low > bound => Verdict::Fails,
            Some(_) => Verdict::Unclear,
            None if summary.mean.abs() <= bound => Verdict::Seen,
            None => Verdict::Fails,
        };
        Self::new(claim, summary, verdict)
    }

    fn new(claim: String, summary: &Option<Summary>, verdict: impl Fn(&Summary) -> Verdict) -> Self {
        Self {
            claim,
            verdict: summary.as_ref().map_or(Verdict::Untested, verdict),
            evidence: summary.as_ref().map_or("no runs".to_owned(), Summary::to_string),
        }
    }
}

/// As sure as the number of seeds allows.
fn sure(summary: &Summary) -> Verdict {
    if summary.n >= ENOUGH {
        Verdict::Holds
    } else {
        Verdict::Seen
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

    fn positive(summary: Option<Summary>) -> Verdict {
        Finding::positive(String::new(), &summary).verdict
    }

    #[test]
    fn a_claim_holds_only_by_enough_seeds() {
        assert_eq!(positive(summary(5, 2.0, Some([0.5, 3.0]))), Verdict::Holds);
        assert_eq!(positive(summary(3, 2.0, Some([0.5, 3.0]))), Verdict::Seen);
        assert_eq!(positive(summary(1, 2.0, None)), Verdict::Seen);
        assert_eq!(positive(summary(9, 2.0, Some([-0.5, 3.0]))), Verdict::Unclear);
        assert_eq!(positive(summary(3, -2.0, Some([-3.0, -1.0]))), Verdict::Fails);
        assert_eq!(positive(summary(1, -2.0, None)), Verdict::Fails);
        assert_eq!(positive(None), Verdict::Untested);
    }

    #[test]
    fn the_same_means_within_the_bound() {
        let within = |summary| Finding::within(String::new(), &summary, 2.0).verdict;
        assert_eq!(within(summary(5, 0.5, Some([-1.0, 1.5]))), Verdict::Holds);
        assert_eq!(within(summary(2, 0.5, Some([-1.0, 1.5]))), Verdict::Seen);
        assert_eq!(within(summary(5, 0.5, Some([-3.0, 1.5]))), Verdict::Unclear);
        assert_eq!(within(summary(5, 4.0, Some([2.5, 6.0]))), Verdict::Fails);
        assert_eq!(within(summary(1, -4.0, None)), Verdict::Fails);
    }

    #[test]
    fn evidence_is_the_number_with_its_interval() {
        let finding = Finding::positive("a".to_owned(), &summary(3, 2.04, Some([-0.5, 3.0])));
        assert_eq!(finding.evidence, "+2.0 [-0.5, +3.0], n = 3");
        assert_eq!(
            Finding::positive("a".to_owned(), &summary(1, -2.0, None)).evidence,
            "-2.0, n = 1"
        );
    }
}
