//! All runs of a sweep and their status, read from run directories and the archive. Results and reports are made from it.

use crate::archive::{Archive, ArchivedRun, EpochPoint, GradientPoint};
use crate::divergence::Divergence;
use crate::error::{ExperimentError, Result};
use crate::run_dir::{self, FinishedRun, RunDirState};
use crate::run_spec::{RunSpec, Work};
use crate::setup::Setup;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use stompp_train::{DiagnosticsReport, MetricRecord, RunResult};

/// The status of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    /// The run has not begun.
    Pending,
    /// The run was interrupted after this many steps. The next sweep resumes it.
    Interrupted(u64),
    /// Another process is training the run, and has done about this many steps.
    Running(u64),
    /// The run is finished.
    Finished(Box<FinishedRun>),
    /// The loss, a gradient or a parameter became infinite or NaN. This is a result too, but without an accuracy.
    Diverged(Divergence),
    /// The run failed, for this reason.
    Failed(String),
    /// The run is skipped, for this reason.
    Skipped(Cow<'static, str>),
}

/// A run, its directory and its status.
#[derive(Clone, Debug)]
pub struct RunEntry {
    pub(crate) spec: RunSpec,
    /// The run directory.
    pub(crate) dir: PathBuf,
    pub(crate) status: RunStatus,
    /// The run in the archive, if it is there.
    archived: Option<ArchivedRun>,
}

impl RunEntry {
    /// The run.
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// The status of the run.
    pub fn status(&self) -> &RunStatus {
        &self.status
    }

    /// The finished run; `None` if it is not finished.
    pub fn finished_run(&self) -> Option<&FinishedRun> {
        match &self.status {
            RunStatus::Finished(run) => Some(run),
            _ => None,
        }
    }

    /// Returns whether the directory of the finished run exists. If not, only the archive has the run.
    pub(crate) fn has_directory(&self) -> bool {
        RunResult::exists(&self.dir)
    }

    /// Reads the metrics of the finished run; `None` if its directory does not exist.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if the metrics cannot be read.
    pub fn metrics(&self) -> Result<Option<Vec<MetricRecord>>, ExperimentError> {
        let metrics = self.has_directory().then(|| MetricRecord::read(&self.dir));
        Ok(metrics.transpose()?)
    }

    /// Reads the diagnostics of the finished run's units; `None` if its directory does not exist.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if the metrics cannot be read.
    pub fn diagnostics(&self) -> Result<Option<Vec<DiagnosticsReport>>, ExperimentError> {
        let report = |metric| match metric {
            MetricRecord::Diagnostics(report) => Some(report),
            _ => None,
        };
        let metrics = self.metrics()?;
        Ok(metrics.map(|metrics| metrics.into_iter().filter_map(report).collect()))
    }

    /// The gradients of the first and the last layer at each diagnostics step, also of a run that diverged.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if the metrics cannot be read.
    pub fn gradients(&self) -> Result<Vec<GradientPoint>, ExperimentError> {
        match &self.archived {
            Some(archived) => Ok(archived.gradients()),
            None => Ok(GradientPoint::from_metrics(&MetricRecord::read(&self.dir)?)),
        }
    }

    /// The epochs of the run; empty if neither its directory nor the archive has it.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if the metrics cannot be read.
    pub fn epochs(&self) -> Result<Vec<EpochPoint>, ExperimentError> {
        match &self.archived {
            Some(archived) => Ok(archived.epochs()),
            None => Ok(EpochPoint::from_metrics(&self.metrics()?.unwrap_or_default())),
        }
    }

    /// Returns whether the run is still to be trained.
    pub fn is_due(&self) -> bool {
        matches!(self.status, RunStatus::Pending | RunStatus::Interrupted(_))
    }

    /// Returns whether the run is still to be trained, or another process is training it.
    pub fn is_open(&self) -> bool {
        self.is_due() || matches!(self.status, RunStatus::Running(_))
    }

    /// Marks the run as skipped, for this reason.
    pub(crate) fn skip(&mut self, reason: String) {
        self.spec.work = Work::Skip(reason.clone().into());
        self.status = RunStatus::Skipped(reason.into());
    }

    /// Reads the run directory again.
    ///
    /// # Errors
    /// The errors of [`run_dir::inspect`].
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

    /// The status of the run in the archive; pending if the archive does not have it.
    fn archived_status(&self) -> RunStatus {
        let finished = |archived: &ArchivedRun| Some(RunStatus::Finished(Box::new(archived.finished_run()?)));
        let diverged = |archived: &ArchivedRun| Some(RunStatus::Diverged(archived.divergence()?.clone()));
        let archived = self.archived.as_ref();
        archived
            .and_then(|archived| finished(archived).or_else(|| diverged(archived)))
            .unwrap_or(RunStatus::Pending)
    }
}

/// Every run of a sweep, once each. The order is by stage, then by seed, then as given.
#[derive(Clone, Debug)]
pub(crate) struct RunIndex {
    pub(crate) setup: Setup,
    pub(crate) entries: Vec<RunEntry>,
    by_name: HashMap<String, usize>,
    archive: Option<Archive>,
}

impl RunIndex {
    /// Reads the run directories in `out` and the archive. Each setup has a folder of its own in `out`. Experiments share this folder, so
    /// a run that several experiments have is trained once.
    ///
    /// # Errors
    /// Returns [`ExperimentError::DuplicateName`] if two different runs have the same name. Also returns the errors of
    /// [`Archive::find`] and [`RunEntry::refresh`].
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
                    return Err(ExperimentError::DuplicateName { name });
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

    /// Returns whether the weights that a run begins with exist, or it begins with random weights.
    pub(crate) fn has_parent(&self, entry: &RunEntry) -> bool {
        let trained = |parent: &String| self.entry(parent).is_some_and(RunEntry::has_directory);
        entry.spec.parent.as_ref().is_none_or(trained)
    }

    /// Number of runs that must be trained one after the other before this run can begin.
    pub(crate) fn level(&self, entry: &RunEntry) -> usize {
        let parent = entry.spec.parent.as_ref().filter(|_| !self.has_parent(entry));
        let parent = parent.and_then(|parent| self.entry(parent));
        parent.map_or(0, |parent| self.level(parent) + 1)
    }

    /// Skips those of the due runs in `selected` that begin with the weights of a run that has none, unless another process is training
    /// that run.
    pub(crate) fn skip_without_parent(&mut self, selected: &HashSet<String>) {
        let is_busy = |parent: &RunEntry| matches!(parent.status, RunStatus::Running(_));
        let orphans = self.entries.iter().enumerate().filter_map(|(place, entry)| {
            let parent = entry.spec.parent.clone()?;
            let waits = self.entry(&parent).is_some_and(is_busy);
            let is_orphan =
                entry.is_due() && selected.contains(&entry.spec.name()) && !self.has_parent(entry) && !waits;
            is_orphan.then_some((place, parent))
        });
        for (place, parent) in orphans.collect::<Vec<_>>() {
            let entry = &mut self.entries[place];
            let folder = entry.dir.parent().unwrap_or(&entry.dir).display();
            entry.skip(format!(
                "it begins with the weights of {parent}, which is not trained in {folder}"
            ));
        }
    }

    /// The run with this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&RunEntry> {
        self.by_name.get(name).map(|place| &self.entries[*place])
    }

    /// Adds the finished and diverged runs that the archive does not have yet. Does nothing without an archive.
    ///
    /// # Errors
    /// The errors of [`Archive::add`] and [`Archive::find`].
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

    /// Reads the directories of all runs that have not ended again, since other processes may have trained them.
    ///
    /// # Errors
    /// The errors of [`RunEntry::refresh`].
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

    /// The runs that diverged, each with its step and reason.
    pub(crate) fn diverged(&self) -> impl Iterator<Item = (&RunEntry, &Divergence)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            RunStatus::Diverged(divergence) => Some((entry, divergence)),
            _ => None,
        })
    }

    /// The runs that are skipped, each with the reason.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (&RunEntry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            RunStatus::Skipped(reason) => Some((entry, &**reason)),
            _ => None,
        })
    }

    /// The runs that failed, each with the reason.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&RunEntry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            RunStatus::Failed(reason) => Some((entry, reason.as_str())),
            _ => None,
        })
    }
}
