//! A part of a sweep, for one of several machines.

use std::fmt;
use std::str::FromStr;

/// The I-th of N parts of a sweep, parsed from and shown as `I/N` with I from 1 to N. A part has every N-th run, so the parts have about
/// equally many long runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    part: usize,
    parts: usize,
}

impl Shard {
    /// The part of `parts` that has the run at `position` of the whole sweep.
    pub(crate) fn of_run(position: usize, parts: usize) -> Self {
        Self {
            part: position % parts + 1,
            parts,
        }
    }

    /// The number of this part: I of `I/N`.
    pub fn part(self) -> usize {
        self.part
    }

    /// The number of parts: N of `I/N`.
    pub fn parts(self) -> usize {
        self.parts
    }

    /// Returns whether the run at `position` of the whole sweep is in this part.
    pub(crate) fn contains(self, position: usize) -> bool {
        position % self.parts == self.part - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.parts)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let parts = given
            .split_once('/')
            .and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        parts
            .filter(|&(part, of)| 0 < part && part <= of)
            .map(|(part, parts)| Self { part, parts })
            .ok_or_else(|| format!("`{given}` is no part: expected I/N, such as 1/3, with I from 1 to N"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_in_one_part() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for position in 0..20 {
            assert_eq!(shards.iter().filter(|shard| shard.contains(position)).count(), 1);
        }
        for position in 0..20 {
            let shard = Shard::of_run(position, 3);
            assert!(shard.contains(position));
            assert_eq!(shards[shard.part() - 1], shard);
            assert_eq!(shard.to_string().parse(), Ok(shard));
        }
        let whole: Shard = "1/1".parse().unwrap();
        assert!((0..9).all(|position| whole.contains(position)));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/3", "4/3", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Shard>().unwrap_err().contains("is no part"), "{text}");
        }
    }
}
