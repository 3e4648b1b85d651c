//! All runs of a sweep and their status. Results and reports are made from it, and it from run directories and the archive.

use crate::archive::{Archive, ArchivedRun, EpochPoint, GradientPoint};
use crate::divergence::Divergence;
use crate::run_dir::{self, FinishedRun, RunDirState};
use crate::run_spec::{RunSpec, Work};
use crate::setup::Setup;
use anyhow::{Result, bail};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use stompp_train::{DiagnosticsReport, MetricRecord, RunResult};

/// The status of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    /// It has not begun.
    Pending,
    /// It was interrupted after this many steps and continues there.
    Interrupted(u64),
    /// Another process trains it, and has done about this many steps.
    Running(u64),
    /// It is finished.
    Finished(Box<FinishedRun>),
    /// Its loss, gradients or parameters became infinite or NaN: a result, too, but without an accuracy.
    Diverged(Divergence),
    /// It failed, for this reason.
    Failed(String),
    /// It is skipped, for this reason.
    Skipped(Cow<'static, str>),
}

/// A run, its directory and its status.
#[derive(Clone, Debug)]
pub struct RunEntry {
    pub(crate) spec: RunSpec,
    /// The run directory.
    pub(crate) dir: PathBuf,
    pub(crate) status: RunStatus,
    /// What the archive has of it.
    archived: Option<ArchivedRun>,
}

impl RunEntry {
    /// What is trained.
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// Its status.
    pub fn status(&self) -> &RunStatus {
        &self.status
    }

    /// The finished run, if it is finished.
    pub fn finished_run(&self) -> Option<&FinishedRun> {
        match &self.status {
            RunStatus::Finished(run) => Some(run),
            _ => None,
        }
    }

    /// Whether the directory of the finished run exists. If not, only the archive has the run.
    pub(crate) fn has_directory(&self) -> bool {
        RunResult::exists(&self.dir)
    }

    /// The metrics of the finished run; `None` without its directory.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub fn metrics(&self) -> Result<Option<Vec<MetricRecord>>> {
        let metrics = self.has_directory().then(|| MetricRecord::read(&self.dir));
        Ok(metrics.transpose()?)
    }

    /// The diagnostics of the finished run's units; `None` without its directory.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub fn diagnostics(&self) -> Result<Option<Vec<DiagnosticsReport>>> {
        let report = |metric| match metric {
            MetricRecord::Diagnostics(report) => Some(report),
            _ => None,
        };
        let metrics = self.metrics()?;
        Ok(metrics.map(|metrics| metrics.into_iter().filter_map(report).collect()))
    }

    /// The gradients of its first and last layer, also of a run that diverged.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub fn gradients(&self) -> Result<Vec<GradientPoint>> {
        match &self.archived {
            Some(archived) => Ok(archived.gradients()),
            None => Ok(GradientPoint::from_metrics(&MetricRecord::read(&self.dir)?)),
        }
    }

    /// Its epochs; none without directory and archive.
    ///
    /// # Errors
    /// If the metrics cannot be read.
    pub fn epochs(&self) -> Result<Vec<EpochPoint>> {
        match &self.archived {
            Some(archived) => Ok(archived.epochs()),
            None => Ok(EpochPoint::from_metrics(&self.metrics()?.unwrap_or_default())),
        }
    }

    /// Whether it is still to be trained.
    pub fn is_due(&self) -> bool {
        matches!(self.status, RunStatus::Pending | RunStatus::Interrupted(_))
    }

    /// Skips the run, for this reason.
    pub(crate) fn skip(&mut self, reason: String) {
        self.spec.work = Work::Skip(reason.clone().into());
        self.status = RunStatus::Skipped(reason.into());
    }

    /// Reads the run directory again.
    ///
    /// # Errors
    /// If it holds something else than this run.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        self.status = match &self.spec.work {
            Work::Skip(reason) => RunStatus::Skipped(reason.clone()),
            Work::Train(config) => match run_dir::inspect(&self.dir, config)? {
                RunDirState::Absent | RunDirState::Interrupted(_) if self.archived.is_some() => self.archived_status(),
                RunDirState::Absent => RunStatus::Pending,
                RunDirState::Interrupted(step) => RunStatus::Interrupted(step),
                RunDirState::Running(step) => RunStatus::Running(step),
                RunDirState::Finished(run) => RunStatus::Finished(run),
            },
        };
        Ok(())
    }

    /// Its status by the archive.
    fn archived_status(&self) -> RunStatus {
        let finished = |archived: &ArchivedRun| Some(RunStatus::Finished(Box::new(archived.finished_run()?)));
        let diverged = |archived: &ArchivedRun| Some(RunStatus::Diverged(archived.divergence()?.clone()));
        let archived = self.archived.as_ref();
        archived
            .and_then(|archived| finished(archived).or_else(|| diverged(archived)))
            .unwrap_or(RunStatus::Pending)
    }
}

/// Every run of a sweep, each once: by stage, then seed, then in the order given.
#[derive(Clone, Debug)]
pub(crate) struct RunIndex {
    pub(crate) setup: Setup,
    pub(crate) entries: Vec<RunEntry>,
    by_name: HashMap<String, usize>,
    archive: Option<Archive>,
}

impl RunIndex {
    /// Reads the run directories below `out` and the archive. Each setup has a folder there, so that setups do not mix; experiments
    /// share it, so that a run of several is trained once.
    ///
    /// # Errors
    /// If a run directory, or a file of the archive, holds something else than its run, or two different runs have one name.
    pub(crate) fn open(
        specs: impl IntoIterator<Item = RunSpec>,
        setup: Setup,
        out: &Path,
        archive: Option<Archive>,
    ) -> Result<Self> {
        let runs = out.join(&setup.name).join("runs");
        let (mut entries, mut by_name) = (Vec::<RunEntry>::new(), HashMap::new());
        let mut specs: Vec<_> = specs.into_iter().collect();
        specs.sort_by_key(|spec| (spec.stage, spec.seed)); // Stable: the order of the tables stays.
        for spec in specs {
            let name = spec.name();
            if let Some(place) = by_name.get(&name) {
                let known: &RunEntry = &entries[*place];
                if known.spec.work != spec.work {
                    bail!("two runs with different configurations are called {name}");
                }
                continue;
            }
            let archived = match (&archive, spec.config()) {
                (Some(archive), Some(config)) => archive.find(&setup.name, &name, config)?,
                _ => None,
            };
            let mut entry = RunEntry {
                dir: runs.join(&name),
                spec,
                status: RunStatus::Pending,
                archived,
            };
            entry.refresh()?;
            by_name.insert(name, entries.len());
            entries.push(entry);
        }
        Ok(Self {
            setup,
            entries,
            by_name,
            archive,
        })
    }

    /// The run with this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&RunEntry> {
        self.by_name.get(name).map(|place| &self.entries[*place])
    }

    /// Adds to the archive, if there is one, the finished and diverged runs that it lacks.
    ///
    /// # Errors
    /// As [`Archive::add`].
    pub(crate) fn archive(&mut self) -> Result<()> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        let setup = &self.setup.name;
        for entry in self.entries.iter_mut().filter(|entry| entry.archived.is_none()) {
            let diverged = match &entry.status {
                RunStatus::Finished(_) => None,
                RunStatus::Diverged(divergence) => Some(divergence),
                _ => continue,
            };
            let (name, config) = (entry.spec.name(), entry.spec.config());
            archive.add(setup, &name, &entry.dir, diverged)?;
            entry.archived = config.map_or(Ok(None), |config| archive.find(setup, &name, config))?;
        }
        Ok(())
    }

    /// Reads the directories of all runs that have not ended again: other processes may have trained them.
    ///
    /// # Errors
    /// As [`RunEntry::refresh`].
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let open = |entry: &&mut RunEntry| {
            !matches!(
                entry.status,
                RunStatus::Finished(_) | RunStatus::Diverged(_) | RunStatus::Failed(_)
            )
        };
        self.entries.iter_mut().filter(open).try_for_each(RunEntry::refresh)
    }

    /// The finished runs.
    pub(crate) fn finished(&self) -> impl Iterator<Item = (&RunEntry, &FinishedRun)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry, entry.finished_run()?)))
    }

    /// The runs that diverged, and where.
    pub(crate) fn diverged(&self) -> impl Iterator<Item = (&RunEntry, &Divergence)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            RunStatus::Diverged(divergence) => Some((entry, divergence)),
            _ => None,
        })
    }

    /// The runs that are skipped, and why.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (&RunEntry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            RunStatus::Skipped(reason) => Some((entry, &**reason)),
            _ => None,
        })
    }

    /// The runs that failed, and why.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&RunEntry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            RunStatus::Failed(reason) => Some((entry, reason.as_str())),
            _ => None,
        })
    }
}
