//! What is known of every cell of an experiment. Results and reports are made from it, and it from run directories.

use super::archive::{Archive, ArchivedRun, EpochPoint, GradientPoint};
use super::cell::{Cell, Work};
use super::experiments::Experiment;
use super::preset::Scale;
use super::run_dir::{self, Record, RunState};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use stompp_train::{DiagnosticsReport, MetricRecord, RunResult, TrainError};

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
    /// Its loss, gradients or parameters are no finite numbers any more: a result, too, but no accuracy.
    Diverged(Divergence),
    /// It failed, for this reason.
    Failed(String),
    /// It cannot be run, for this reason.
    Refused(Cow<'static, str>),
}

/// Where a run diverged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Divergence {
    /// Optimizer steps done before.
    pub(crate) step: u64,
    /// What became no finite number, and where.
    pub(crate) reason: String,
}

impl Divergence {
    /// What the error of a run says, if it is of a divergence.
    pub(crate) fn of(error: &TrainError) -> Option<Self> {
        match error {
            TrainError::NonFinite {
                what,
                step,
                value,
                layer,
                ..
            } => Some(Self {
                step: *step,
                reason: format!("the {what} became {value}, first in {layer}"),
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diverged at step {}: {}", self.step, self.reason)
    }
}

/// A cell, its run directory and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) cell: Cell,
    /// The run directory.
    pub(crate) dir: PathBuf,
    pub(crate) outcome: Outcome,
    /// What the archive has of it.
    archived: Option<ArchivedRun>,
}

impl Entry {
    /// What the finished run left.
    pub(crate) fn record(&self) -> Option<&Record> {
        match &self.outcome {
            Outcome::Finished(record) => Some(record),
            _ => None,
        }
    }

    /// Whether its finished run's directory is there; if not, only the archive knows of it.
    pub(crate) fn has_directory(&self) -> bool {
        RunResult::exists(&self.dir)
    }

    /// What its run has told; `None` without a run directory.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub(crate) fn metrics(&self) -> Result<Option<Vec<MetricRecord>>> {
        let metrics = self.has_directory().then(|| MetricRecord::read(&self.dir));
        Ok(metrics.transpose()?)
    }

    /// What its run has told of its units; `None` without a run directory.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub(crate) fn diagnostics(&self) -> Result<Option<Vec<DiagnosticsReport>>> {
        let report = |metric| match metric {
            MetricRecord::Diagnostics(report) => Some(report),
            _ => None,
        };
        let metrics = self.metrics()?;
        Ok(metrics.map(|metrics| metrics.into_iter().filter_map(report).collect()))
    }

    /// The gradients at its network's ends, of a run that has diverged, too.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub(crate) fn gradients(&self) -> Result<Vec<GradientPoint>> {
        match &self.archived {
            Some(archived) => Ok(archived.gradients()),
            None => Ok(GradientPoint::among(&MetricRecord::read(&self.dir)?)),
        }
    }

    /// What each epoch of its run did.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub(crate) fn epochs(&self) -> Result<Vec<EpochPoint>> {
        match &self.archived {
            Some(archived) => Ok(archived.epochs()),
            None => Ok(EpochPoint::among(&self.metrics()?.unwrap_or_default())),
        }
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
                RunState::Absent | RunState::Interrupted(_) if self.archived.is_some() => self.archived_outcome(),
                RunState::Absent => Outcome::Pending,
                RunState::Interrupted(step) => Outcome::Interrupted(step),
                RunState::Running(step) => Outcome::Running(step),
                RunState::Finished(record) => Outcome::Finished(record),
            },
        };
        Ok(())
    }

    /// What the archive says of it.
    fn archived_outcome(&self) -> Outcome {
        let finished = |archived: &ArchivedRun| Some(Outcome::Finished(Box::new(archived.record()?)));
        let diverged = |archived: &ArchivedRun| Some(Outcome::Diverged(archived.divergence()?.clone()));
        let archived = self.archived.as_ref();
        archived
            .and_then(|archived| finished(archived).or_else(|| diverged(archived)))
            .unwrap_or(Outcome::Pending)
    }
}

/// Every cell of one or several experiments at a scale, each once, in the order of their tables.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) scale: Scale,
    pub(crate) entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    archive: Option<Archive>,
}

impl Ledger {
    /// What the run directories under `out` and the archive tell. Each preset has a folder there, so that none meets another's runs; experiments
    /// share it, so that none repeats another's.
    ///
    /// # Errors
    /// If a run directory, or a file of the archive, holds something else than its cell's run.
    pub(crate) fn open(
        experiments: &[&Experiment],
        scale: Scale,
        out: &Path,
        archive: Option<Archive>,
    ) -> Result<Self> {
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
            let archived = match (&archive, cell.config()) {
                (Some(archive), Some(config)) => archive.find(scale.preset.name(), &name, config)?,
                _ => None,
            };
            let mut entry = Entry {
                dir: runs.join(&name),
                cell,
                outcome: Outcome::Pending,
                archived,
            };
            entry.refresh()?;
            by_name.insert(name, entries.len());
            entries.push(entry);
        }
        Ok(Self {
            scale,
            entries,
            by_name,
            archive,
        })
    }

    /// The entry of the cell with this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|place| &self.entries[*place])
    }

    /// Adds to the archive, if there is one, what it does not have yet of the runs that are done.
    ///
    /// # Errors
    /// As [`Archive::add`].
    pub(crate) fn archive(&mut self) -> Result<()> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        let preset = self.scale.preset.name();
        for entry in self.entries.iter_mut().filter(|entry| entry.archived.is_none()) {
            let diverged = match &entry.outcome {
                Outcome::Finished(_) => None,
                Outcome::Diverged(divergence) => Some(divergence),
                _ => continue,
            };
            let (name, config) = (entry.cell.name(), entry.cell.config());
            archive.add(preset, &name, &entry.dir, diverged)?;
            entry.archived = config.map_or(Ok(None), |config| archive.find(preset, &name, config))?;
        }
        Ok(())
    }

    /// Reads the run directories of all that is not finished again: other processes may have worked on them.
    ///
    /// # Errors
    /// As [`Entry::refresh`].
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let open = |entry: &&mut Entry| {
            !matches!(
                entry.outcome,
                Outcome::Finished(_) | Outcome::Diverged(_) | Outcome::Failed(_)
            )
        };
        self.entries.iter_mut().filter(open).try_for_each(Entry::refresh)
    }

    /// The cells that are finished, with what they left.
    pub(crate) fn finished(&self) -> impl Iterator<Item = (&Entry, &Record)> {
        self.entries.iter().filter_map(|entry| Some((entry, entry.record()?)))
    }

    /// The cells that diverged, and where.
    pub(crate) fn diverged(&self) -> impl Iterator<Item = (&Entry, &Divergence)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Diverged(divergence) => Some((entry, divergence)),
            _ => None,
        })
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
