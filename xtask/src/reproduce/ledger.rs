//! What is known of every cell of an experiment. Results and reports are made from it, and it from run directories.

use super::cell::{Cell, Work};
use super::experiments::Experiment;
use super::preset::Scale;
use super::run_dir::{self, Record, RunState};
use anyhow::Result;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use stompp_train::{DiagnosticsReport, Metric};

/// What became of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It has not been run.
    Pending,
    /// A run of it was interrupted after this many steps; it goes on where it was.
    Interrupted(u64),
    /// Another process is at it, and has done about this many steps.
    Running(u64),
    /// It is finished.
    Finished(Box<Record>),
    /// It failed, for this reason.
    Failed(String),
    /// It cannot be run, for this reason.
    Refused(Cow<'static, str>),
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

    /// What its run has told of its units.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub(crate) fn diagnostics(&self) -> Result<Vec<DiagnosticsReport>> {
        let metrics = Metric::read(&self.dir)?.into_iter();
        let reports = metrics.filter_map(|metric| match metric {
            Metric::Diagnostics(report) => Some(report),
            _ => None,
        });
        Ok(reports.collect())
    }

    /// Whether it has yet to be run.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.outcome, Outcome::Pending | Outcome::Interrupted(_))
    }

    /// Leaves the cell out, for this reason.
    pub(crate) fn refuse(&mut self, reason: String) {
        self.cell.work = Work::Refused(reason.clone().into());
        self.outcome = Outcome::Refused(reason.into());
    }

    /// Reads the run directory again.
    ///
    /// # Errors
    /// If it holds something else than the cell's run.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        self.outcome = match &self.cell.work {
            Work::Refused(reason) => Outcome::Refused(reason.clone()),
            Work::Train(config) => match run_dir::inspect(&self.dir, config)? {
                RunState::Absent => Outcome::Pending,
                RunState::Interrupted(step) => Outcome::Interrupted(step),
                RunState::Running(step) => Outcome::Running(step),
                RunState::Finished(record) => Outcome::Finished(record),
            },
        };
        Ok(())
    }
}

/// Every cell of one or several experiments at a scale, each once, in the order of their tables.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) scale: Scale,
    pub(crate) entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl Ledger {
    /// What the run directories under `out` tell. Each preset has a folder there, so that none meets another's runs; experiments
    /// share it, so that none repeats another's.
    ///
    /// # Errors
    /// If a run directory holds something else than its cell's run.
    pub(crate) fn open(experiments: &[&Experiment], scale: Scale, out: &Path) -> Result<Self> {
        let runs = out.join(scale.preset.name()).join("runs");
        let (mut entries, mut by_name) = (Vec::new(), HashMap::new());
        let mut cells: Vec<_> = experiments
            .iter()
            .flat_map(|experiment| experiment.cells(&scale))
            .collect();
        cells.sort_by_key(|cell| (cell.stage, cell.seed)); // Stable: the order of the tables stays.
        for cell in cells {
            let name = cell.name();
            if by_name.contains_key(&name) {
                continue;
            }
            let mut entry = Entry {
                dir: runs.join(&name),
                cell,
                outcome: Outcome::Pending,
            };
            entry.refresh()?;
            by_name.insert(name, entries.len());
            entries.push(entry);
        }
        Ok(Self {
            scale,
            entries,
            by_name,
        })
    }

    /// The entry of the cell with this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|place| &self.entries[*place])
    }

    /// Reads the run directories of all that is not finished again: other processes may have worked on them.
    ///
    /// # Errors
    /// As [`Entry::refresh`].
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let open = |entry: &&mut Entry| !matches!(entry.outcome, Outcome::Finished(_) | Outcome::Failed(_));
        self.entries.iter_mut().filter(open).try_for_each(Entry::refresh)
    }

    /// The cells that are finished, with what they left.
    pub(crate) fn finished(&self) -> impl Iterator<Item = (&Entry, &Record)> {
        self.entries.iter().filter_map(|entry| Some((entry, entry.record()?)))
    }

    /// The cells that cannot be run, and why.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&Entry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Refused(reason) => Some((entry, &**reason)),
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
