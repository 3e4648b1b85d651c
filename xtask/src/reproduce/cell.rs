//! One run of an experiment: a row of its table, and a seed.

use super::row::Row;
use stompp_train::RunConfig;

/// What is to be done for a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Train by this configuration.
    Train(Box<RunConfig>),
    /// Nothing: it cannot be run yet, for this reason.
    Refused(&'static str),
}

/// One run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) row: Row,
    pub(crate) seed: u64,
    pub(crate) work: Work,
}

impl Cell {
    /// The cell's name, which its run directory has too: `resnet20-cifar10-bnn-ste-clipped-seed0`.
    pub(crate) fn name(&self) -> String {
        self.words().join("-")
    }

    /// The configuration, unless the cell is refused.
    pub(crate) fn config(&self) -> Option<&RunConfig> {
        match &self.work {
            Work::Train(config) => Some(config),
            Work::Refused(_) => None,
        }
    }

    /// Whether `pattern` means this cell: words with commas between them, each of which is one of the words of the
    /// cell's name, or the whole name; `*` stands for any text.
    pub(crate) fn matches(&self, pattern: &str) -> bool {
        let words = self.words();
        let name = self.name();
        pattern
            .split(',')
            .map(str::trim)
            .all(|term| glob(term, &name) || words.iter().any(|word| glob(term, word)))
    }

    fn words(&self) -> Vec<String> {
        let mut words = self.row.words();
        words.push(format!("seed{}", self.seed));
        words
    }
}

/// Whether all of `text` is as `pattern` says, in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices()
                .map(|(at, _)| &text[at..])
                .chain([""])
                .any(|tail| glob(rest, tail))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::row::{Images, Procedure};
    use stompp_train::config::{Order, Setting, StraightThrough};

    fn cell(procedure: Procedure) -> Cell {
        Cell {
            row: Row {
                network: "resnet20".parse().unwrap(),
                images: Images::CIFAR10,
                setting: Setting::Bnn,
                procedure,
            },
            seed: 3,
            work: Work::Refused("a test"),
        }
    }

    #[test]
    fn names_tell_what_is_run() {
        let ste = cell(Procedure::Ste(StraightThrough::Clipped));
        assert_eq!(ste.name(), "resnet20-cifar10-bnn-ste-clipped-seed3");
        let reverse = cell(Procedure::Stompp(Order::Reverse));
        assert_eq!(reverse.name(), "resnet20-cifar10-bnn-stompp-reverse-seed3");
    }

    #[test]
    fn patterns_are_whole_words() {
        let ste = cell(Procedure::StomppSte(Order::Forward, StraightThrough::Clipped));
        for pattern in [
            "resnet20",
            "stompp-ste",
            "resnet20, seed3",
            "stompp*",
            "*",
            "resnet*,bnn,*ward",
            "resnet20-*-seed3",
            &ste.name(),
        ] {
            assert!(ste.matches(pattern), "{pattern}");
        }
        for pattern in [
            "resnet2",
            "stompp",
            "ste",
            "seed",
            "resnet20,seed4",
            "",
            "resnet20,",
            "*8",
        ] {
            assert!(!ste.matches(pattern), "{pattern}");
        }
    }
}
