//! Sweeps: train all runs of some experiments, several at a time, and report them.

pub(crate) mod cost;
mod merge;
mod progress;
mod queue;
mod shard;

use crate::archive::Archive;
use crate::error::{ExperimentError, Result, io_error};
use crate::experiment::Experiment;
use crate::files;
use crate::report;
use crate::results_file;
use crate::run_index::{RunEntry, RunIndex, RunStatus};
use crate::setup::Setup;
use crate::train::TrainFn;
use cost::CostEstimate;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use stompp_train::{DataError, RunConfig, TrainError};

pub use queue::Parallelism;
pub use shard::Shard;

/// Options of a sweep. They do not change results.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Folder of all results. It has the runs in `SETUP/runs` and the report in `SETUP/REPORT`. Finished runs are not repeated,
    /// interrupted runs resume.
    pub out: PathBuf,
    /// Name of the folder of the report. If absent, the name of the first experiment.
    pub report: Option<String>,
    /// The archive, which gets a small file for each run that finished or diverged. A run that the archive has is not trained again.
    pub archive: Option<Archive>,
    /// Train only runs that [match](crate::RunSpec::matches) this pattern.
    pub only: Option<String>,
    /// Train only a part of the runs, to share a sweep among machines.
    pub shard: Option<Shard>,
    /// Number of runs at a time, which share the cores. If absent: one for each core, but only one on a GPU or at preset `paper`.
    pub jobs: Option<usize>,
    /// Show no progress.
    pub quiet: bool,
    /// The command that makes the same report again. The report shows it.
    pub command: Option<String>,
}

impl SweepOptions {
    /// Options that train every run, show progress on standard error, and use no archive.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            report: None,
            archive: None,
            only: None,
            shard: None,
            jobs: None,
            quiet: false,
            command: None,
        }
    }
}

/// All runs of some experiments in one setup. Experiments share runs that have the same name.
///
/// [`Sweep::run`] does everything; the other methods are its steps. A sweep can be killed at any moment. Opened and run again, it
/// resumes and ends in the same `results.json`. Several processes may run the same sweep; each run is trained by one of them.
///
/// ```no_run
/// use std::sync::Arc;
/// use stompp_experiments::{Preset, Setup, Sweep, SweepOptions, builtin, trainer};
///
/// let setup = Setup { seeds: 3, ..Setup::new(Preset::Smoke) };
/// let depth = builtin::ALL.iter().find(|builtin| builtin.name == "depth").expect("it is built in");
/// let mut sweep = Sweep::open(vec![depth.experiment(&setup)], setup, SweepOptions::new("results"))?;
/// println!("{}", sweep.run(&trainer(Arc::default()))?); // Trains for minutes; writes results/smoke/depth/report.html.
/// # Ok::<(), stompp_experiments::ExperimentError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sweep {
    experiments: Vec<Experiment>,
    index: RunIndex,
    options: SweepOptions,
}

impl Sweep {
    /// Opens a sweep and reads the status of every run. Writes nothing.
    ///
    /// # Errors
    /// - [`ExperimentError::NoExperiment`] if `experiments` is empty.
    /// - [`ExperimentError::InvalidName`] if the name of an experiment or of the setup cannot be the name of a folder.
    /// - [`ExperimentError::DuplicateName`] if two different runs have the same name.
    /// - [`ExperimentError::NoMatchingRun`] if [`SweepOptions::only`] selects no run.
    /// - [`ExperimentError::NotARunDirectory`], [`OtherRun`](ExperimentError::OtherRun),
    ///   [`OtherArchivedRun`](ExperimentError::OtherArchivedRun), [`Damaged`](ExperimentError::Damaged),
    ///   [`Train`](ExperimentError::Train) or [`Io`](ExperimentError::Io) if a run directory or a file of the archive belongs to something
    ///   else, or cannot be read.
    pub fn open(experiments: Vec<Experiment>, setup: Setup, options: SweepOptions) -> Result<Self, ExperimentError> {
        if experiments.is_empty() {
            return Err(ExperimentError::NoExperiment);
        }
        let names = experiments.iter().map(|experiment| &experiment.name);
        names.chain([&setup.name]).try_for_each(|name| check_name(name))?;
        let runs = experiments
            .iter()
            .flat_map(|experiment| experiment.runs.iter().cloned());
        let index = RunIndex::open(runs, setup, &options.out, options.archive.clone())?;
        let sweep = Self {
            experiments,
            index,
            options,
        };
        if let Some(pattern) = &sweep.options.only
            && !sweep.index.entries.iter().any(|entry| entry.spec.matches(pattern))
        {
            return Err(ExperimentError::NoMatchingRun {
                pattern: pattern.clone(),
                runs: sweep.index.entries.iter().map(|entry| entry.spec.name()).collect(),
            });
        }
        Ok(sweep)
    }

    /// Trains every selected run that is not finished, writes the report and returns its tables as text.
    ///
    /// # Errors
    /// The errors of [`skip_missing_images`](Self::skip_missing_images), [`train`](Self::train), [`write_report`](Self::write_report)
    /// and [`check`](Self::check).
    pub fn run(&mut self, train: TrainFn<'_>) -> Result<String, ExperimentError> {
        self.skip_missing_images(train)?;
        self.train(train)?;
        let tables = self.write_report()?;
        self.check()?;
        Ok(tables)
    }

    /// The setup of all runs.
    pub fn setup(&self) -> &Setup {
        &self.index.setup
    }

    /// The folder of the report, its tables and figures, and `results.json`.
    pub fn report_folder(&self) -> PathBuf {
        let name = self.options.report.as_ref().unwrap_or(&self.experiments[0].name);
        self.options.out.join(&self.index.setup.name).join(name)
    }

    /// The runs that [`SweepOptions::only`] and [`SweepOptions::shard`] select.
    pub fn selected(&self) -> impl Iterator<Item = &RunEntry> {
        self.selected_places().map(|(_, entry)| entry)
    }

    /// The selected runs, each with its position in the whole sweep.
    fn selected_places(&self) -> impl Iterator<Item = (usize, &RunEntry)> {
        let in_shard = |place| self.options.shard.is_none_or(|shard| shard.contains(place));
        let in_pattern = |entry: &RunEntry| {
            let only = self.options.only.as_ref();
            only.is_none_or(|pattern| entry.spec.matches(pattern))
        };
        let entries = self.index.entries.iter().enumerate();
        entries.filter(move |(place, entry)| in_shard(*place) && in_pattern(entry))
    }

    /// The parts in which a scheduler can train the selected runs that have not ended, each part by a process of its own with
    /// [`SweepOptions::shard`]. A part has one run, or several if the whole sweep has more than `max_parts` runs.
    ///
    /// The first list has the parts that can begin at once. A later list has the parts with runs that begin with the weights of runs of
    /// the lists before; it can begin when those parts have ended.
    ///
    /// # Panics
    /// Panics if `max_parts` is 0.
    pub fn parts(&self, max_parts: usize) -> Vec<Vec<Shard>> {
        let parts = self.index.entries.len().min(max_parts);
        let mut lists: Vec<Vec<Shard>> = Vec::new();
        for (place, entry) in self.selected_places().filter(|(_, entry)| entry.is_open()) {
            let level = self.index.level(entry);
            lists.resize_with(lists.len().max(level + 1), Vec::new);
            lists[level].push(Shard::of_run(place, parts));
        }
        for list in &mut lists {
            list.sort_by_key(|shard| shard.part());
            list.dedup();
        }
        lists.retain(|list| !list.is_empty());
        lists
    }

    /// The runs that are skipped, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&RunEntry, &str)> {
        self.index.skipped()
    }

    /// Number of runs at a time and of threads for each, if `runs` runs are to be trained.
    pub fn parallelism(&self, runs: usize) -> Parallelism {
        Parallelism::for_setup(&self.index.setup, self.options.jobs, runs)
    }

    /// Estimates how long the selected runs will take, by network and data set. Times a few steps of each network in rayon's current
    /// thread pool, and keeps nothing.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if `train` fails, for example because data cannot be read, and [`ExperimentError::Io`] if there
    /// is no place for temporary files.
    pub fn estimate_cost(&self, train: TrainFn<'_>) -> Result<Vec<CostEstimate>, ExperimentError> {
        let due = self.selected().filter(|entry| entry.is_due());
        let configs: Vec<_> = due.filter_map(|entry| entry.spec.config()).collect();
        cost::measure(&configs, train)
    }

    /// Reads the images of every selected run before anything is trained or written. Skips the runs whose data set is missing.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if every data set is missing or one cannot be read, and [`ExperimentError::Io`] if there is no
    /// place for temporary files.
    pub fn skip_missing_images(&mut self, train: TrainFn<'_>) -> Result<(), ExperimentError> {
        let mut tried: Vec<RunConfig> = Vec::new();
        for config in self.selected().filter_map(|entry| entry.spec.config()) {
            if config.data.path.is_some() && !tried.iter().any(|other| same_images(other, config)) {
                tried.push(config.clone());
            }
        }
        let mut missing = Vec::new();
        let mut first = None;
        for config in &tried {
            match cost::trial_run(config, train) {
                Err(error) if is_missing(&error) => {
                    missing.push((config, format!("its images are not there: {error}")));
                    first.get_or_insert(error);
                }
                outcome => drop(outcome?),
            }
        }
        if let Some(error) = first
            && missing.len() == tried.len()
        {
            return Err(error);
        }
        for entry in &mut self.index.entries {
            let has_them = |config: &RunConfig| entry.spec.config().is_some_and(|own| same_images(own, config));
            if let Some((_, reason)) = missing.iter().find(|(config, _)| has_them(config)) {
                entry.skip(reason.clone());
            }
        }
        Ok(())
    }

    /// Trains every selected run that is not finished, several at a time, and writes `results.json` after each. A run that begins with
    /// the weights of another run ([`Override::Pretrained`](crate::Override::Pretrained)) is trained after that run. It is skipped if there are no such weights.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Stopped`] if a run was stopped, and [`ExperimentError::Threads`] if threads cannot be started. Also
    /// returns an error if a run directory turns out to hold something else ([`OtherRun`](ExperimentError::OtherRun), ...), or if results
    /// cannot be written ([`Io`](ExperimentError::Io)). A run that fails is no error here: [`check`](Self::check) returns it.
    pub fn train(&mut self, train: TrainFn<'_>) -> Result<(), ExperimentError> {
        let folder = self.report_folder();
        files::create_folder(&folder)?;
        let selected: HashSet<String> = self.selected().map(|entry| entry.spec.name()).collect();
        queue::train_all(
            &mut self.index,
            |entry| selected.contains(&entry.spec.name()),
            self.options.jobs,
            train,
            self.options.quiet,
            |index| write_results(&self.experiments, index, &folder),
        )?;
        self.index.skip_without_parent(&selected);
        Ok(())
    }

    /// Copies the finished runs of other machines' sweeps into this one. `folders` are their [`SweepOptions::out`]. Returns the number of
    /// copied runs.
    ///
    /// # Errors
    /// Returns [`ExperimentError::NothingToMerge`] if a folder has no runs of this setup, [`ExperimentError::OtherRun`] if it has another
    /// run with the same name, [`ExperimentError::MergeConflict`] if the same run has another accuracy there, and
    /// [`ExperimentError::Copy`] if files cannot be copied. Runs that were copied before the error stay.
    pub fn merge(&mut self, folders: &[PathBuf]) -> Result<usize, ExperimentError> {
        files::create_folder(&self.report_folder())?;
        merge::copy_finished(&mut self.index, folders, &self.options.out)
    }

    /// Writes the results, report and figures of the runs that have ended, and returns the tables as text.
    ///
    /// # Errors
    /// Returns an error that names the run directory or file if a run directory cannot be read ([`ExperimentError::Train`], ...) or a
    /// file cannot be written ([`ExperimentError::Io`]). Returns [`ExperimentError::Figure`] if a figure cannot be drawn.
    pub fn write_report(&mut self) -> Result<String, ExperimentError> {
        let folder = self.report_folder();
        files::create_folder(&folder)?;
        write_results(&self.experiments, &mut self.index, &folder)?;
        report::write(&self.experiments, &self.index, self.options.command.as_deref(), &folder)
    }

    /// Checks that no run failed, and that not all selected runs are skipped.
    ///
    /// # Errors
    /// Returns [`ExperimentError::RunsFailed`] with the reason of each failed run, or [`ExperimentError::AllSkipped`].
    pub fn check(&self) -> Result<(), ExperimentError> {
        let failed: Vec<_> = self
            .index
            .failed()
            .map(|(entry, reason)| (entry.spec.name(), reason.to_owned()))
            .collect();
        if !failed.is_empty() {
            return Err(ExperimentError::RunsFailed {
                failed,
                runs: self.index.entries.len(),
            });
        }
        if self
            .selected()
            .all(|entry| matches!(entry.status, RunStatus::Skipped(_)))
        {
            return Err(ExperimentError::AllSkipped);
        }
        Ok(())
    }
}

/// Returns an error if a name is not safe as the name of a folder and in an HTML page.
fn check_name(name: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(ExperimentError::InvalidName { name: name.to_owned() });
    }
    Ok(())
}

/// Adds ended runs to the archive, and writes the results so far into `folder`.
fn write_results(experiments: &[Experiment], index: &mut RunIndex, folder: &Path) -> Result<()> {
    // With several processes, the one that writes last has read the runs that all of them finished.
    let _lock = lock(folder)?;
    index.refresh()?;
    index.archive()?;
    results_file::write(experiments, index, folder)
}

/// Locks `folder` for writing results. Other processes wait until the returned file is closed.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(io_error("write", &path))?;
    file.lock().map_err(io_error("lock", &path))?;
    Ok(file)
}

fn same_images(one: &RunConfig, other: &RunConfig) -> bool {
    (one.data.dataset, &one.data.path) == (other.data.dataset, &other.data.path)
}

/// Returns whether the error says that a data set is missing. Other data sets may exist.
fn is_missing(error: &ExperimentError) -> bool {
    matches!(
        error,
        ExperimentError::Train(TrainError::Data(DataError::MissingFile { .. }))
    )
}
