//! What is known of every cell of an experiment. Results and reports are made from it, and it from run directories.

use super::cell::{Cell, Work};
use super::experiment::Experiment;
use super::preset::Scale;
use super::run_dir::{self, Record, RunState};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What became of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It has not been run.
    Pending,
    /// A run of it was interrupted; it begins anew.
    Interrupted,
    /// It is finished.
    Finished(Box<Record>),
    /// It failed, for this reason.
    Failed(String),
    /// It cannot be run, for this reason.
    Refused(&'static str),
}

/// A cell, its run directory and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) cell: Cell,
    /// The run directory.
    pub(crate) dir: PathBuf,
    pub(crate) outcome: Outcome,
}

impl Entry {
    /// What the finished run left.
    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.outcome {
            Outcome::Finished(record) => Some(record),
            _ => None,
        }
    }

    /// Whether it has yet to be run.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.outcome, Outcome::Pending | Outcome::Interrupted)
    }

    /// Reads the run directory again.
    ///
    /// # Errors
    /// If it holds something else than the cell's run.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        self.outcome = match &self.cell.work {
            Work::Refused(reason) => Outcome::Refused(reason),
            Work::Train(config) => match run_dir::inspect(&self.dir, config)? {
                RunState::Absent => Outcome::Pending,
                RunState::Interrupted => Outcome::Interrupted,
                RunState::Finished(record) => Outcome::Finished(record),
            },
        };
        Ok(())
    }
}

/// Every cell of an experiment at a scale, in the order of its table.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) experiment: Experiment,
    pub(crate) scale: Scale,
    /// Where results go.
    pub(crate) out: PathBuf,
    pub(crate) entries: Vec<Entry>,
}

impl Ledger {
    /// What the run directories under `out` tell. Each preset has a folder there, so that none meets another's runs.
    ///
    /// # Errors
    /// If a run directory holds something else than its cell's run.
    pub(crate) fn open(experiment: Experiment, scale: Scale, out: &Path) -> Result<Self> {
        let mut entries = Vec::new();
        for cell in experiment.cells(&scale) {
            let mut entry = Entry {
                dir: out.join(scale.preset.name()).join(cell.name()),
                cell,
                outcome: Outcome::Pending,
            };
            entry.refresh()?;
            entries.push(entry);
        }
        Ok(Self {
            experiment,
            scale,
            out: out.to_owned(),
            entries,
        })
    }

    /// The cells that are finished, with what they left.
    pub(crate) fn finished(&self) -> impl Iterator<Item = (&Entry, &Record)> {
        self.entries.iter().filter_map(|entry| Some((entry, entry.record()?)))
    }

    /// The cells that cannot be run, and why.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&Entry, &'static str)> {
        self.entries.iter().filter_map(|entry| match entry.outcome {
            Outcome::Refused(reason) => Some((entry, reason)),
            _ => None,
        })
    }

    /// The cells that failed, and why.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&Entry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Failed(reason) => Some((entry, reason.as_str())),
            _ => None,
        })
    }
}
