//! A sweep: all runs of some experiments, trained, brought together and reported.

pub(crate) mod cost;
mod merge;
mod progress;
mod queue;
mod shard;

use crate::archive::Archive;
use crate::experiment::Experiment;
use crate::files;
use crate::report;
use crate::results_file;
use crate::run_index::{RunEntry, RunIndex, RunStatus};
use crate::setup::Setup;
use crate::train::TrainFn;
use anyhow::{Context, Result, bail};
use cost::CostEstimate;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use stompp_train::config::Device;
use stompp_train::{DataError, RunConfig, TrainError};

pub use queue::Parallelism;
pub use shard::Shard;

/// How a sweep is carried out. Nothing here changes a result.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Folder of all results: runs are in `SETUP/runs` there, the report in `SETUP/REPORT`. Runs that are finished there are not repeated,
    /// interrupted ones continue.
    pub out: PathBuf,
    /// Name of the report's folder; the first experiment's name if absent.
    pub report: Option<String>,
    /// Where each ended run is kept as a small file; its runs count as done.
    pub archive: Option<Archive>,
    /// Only runs that [match](crate::RunSpec::matches) this pattern.
    pub only: Option<String>,
    /// Only a part of the runs, for one of several machines.
    pub shard: Option<Shard>,
    /// Runs at a time, which share the cores. If absent: one a core, but one in all on a GPU and with networks of the paper's size.
    pub jobs: Option<usize>,
    /// Show no progress.
    pub quiet: bool,
    /// The command that makes the same report again, for its readers.
    pub command: Option<String>,
}

impl SweepOptions {
    /// Every run, with progress on standard error and without an archive.
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

/// The error of a pattern that selects no run; its [`Display`](fmt::Display) text lists all runs.
#[derive(Debug)]
pub struct NoMatchingRun {
    pattern: String,
    runs: Vec<String>,
}

impl fmt::Display for NoMatchingRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} matches none of the runs:", self.pattern)?;
        self.runs.iter().try_for_each(|run| writeln!(f, "  {run}"))
    }
}

impl std::error::Error for NoMatchingRun {}

/// All runs of some experiments in one setup. Experiments share runs that have the same name.
///
/// [`Sweep::run`] does everything; the other methods are its parts. A sweep can be killed at any moment: opened and run again, it
/// continues, and ends in the same `results.json`. Several processes may run the same sweep; each run is trained by one of them.
///
/// ```no_run
/// use std::sync::Arc;
/// use stompp_experiments::{Preset, Setup, Sweep, SweepOptions, builtin, trainer};
///
/// let setup = Setup { seeds: 3, ..Setup::new(Preset::Smoke) };
/// let depth = builtin::ALL.iter().find(|builtin| builtin.name == "depth").expect("it is built in");
/// let mut sweep = Sweep::open(vec![depth.experiment(&setup)], setup, SweepOptions::new("results"))?;
/// println!("{}", sweep.run(&trainer(Arc::default()))?); // Trains for minutes; writes results/smoke/depth/report.html.
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sweep {
    experiments: Vec<Experiment>,
    index: RunIndex,
    options: SweepOptions,
}

impl Sweep {
    /// Reads the status of every run; writes nothing.
    ///
    /// # Errors
    /// [`NoMatchingRun`] if [`SweepOptions::only`] selects none. Also if there are no experiments, if the name of one or of the setup
    /// cannot be a file's, if two different runs have one name, or if a run directory or a file of the archive holds something else than
    /// its run.
    pub fn open(experiments: Vec<Experiment>, setup: Setup, options: SweepOptions) -> Result<Self> {
        if experiments.is_empty() {
            bail!("a sweep needs an experiment");
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
            return Err(NoMatchingRun {
                pattern: pattern.clone(),
                runs: sweep.index.entries.iter().map(|entry| entry.spec.name()).collect(),
            }
            .into());
        }
        Ok(sweep)
    }

    /// Trains every selected run that is not finished, writes the report and returns its tables as text.
    ///
    /// # Errors
    /// Those of [`skip_missing_images`](Self::skip_missing_images), [`train`](Self::train), [`write_report`](Self::write_report)
    /// and [`check`](Self::check).
    pub fn run(&mut self, train: TrainFn<'_>) -> Result<String> {
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

    /// The folder of report, tables, figures and `results.json`.
    pub fn report_folder(&self) -> PathBuf {
        let name = self.options.report.as_ref().unwrap_or(&self.experiments[0].name);
        self.options.out.join(&self.index.setup.name).join(name)
    }

    /// The runs that [`SweepOptions::only`] and [`SweepOptions::shard`] select.
    pub fn selected(&self) -> impl Iterator<Item = &RunEntry> {
        let in_shard = |place| self.options.shard.is_none_or(|shard| shard.contains(place));
        let in_pattern = |entry: &RunEntry| {
            let only = self.options.only.as_ref();
            only.is_none_or(|pattern| entry.spec.matches(pattern))
        };
        let entries = self.index.entries.iter().enumerate();
        entries
            .filter(move |(place, entry)| in_shard(*place) && in_pattern(entry))
            .map(|(_, entry)| entry)
    }

    /// The runs that are skipped, and why.
    pub fn skipped(&self) -> impl Iterator<Item = (&RunEntry, &str)> {
        self.index.skipped()
    }

    /// How `runs` runs use the machine.
    pub fn parallelism(&self, runs: usize) -> Parallelism {
        parallelism(&self.index.setup, self.options.jobs, runs)
    }

    /// Times a few steps of each network, in rayon's current thread pool, and estimates how long the selected runs will take, by network
    /// and data set. Nothing is kept.
    ///
    /// # Errors
    /// Those of `train`, such as data that cannot be read.
    pub fn estimate_cost(&self, train: TrainFn<'_>) -> Result<Vec<CostEstimate>> {
        let due = self.selected().filter(|entry| entry.is_due());
        let configs: Vec<_> = due.filter_map(|entry| entry.spec.config()).collect();
        cost::measure(&configs, train)
    }

    /// Reads the images of every selected run before anything is trained or written. Runs whose data set is missing are skipped, unless
    /// all are.
    ///
    /// # Errors
    /// If every data set is missing, or one cannot be read.
    pub fn skip_missing_images(&mut self, train: TrainFn<'_>) -> Result<()> {
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
                    missing.push((config, format!("its images are not there: {error:#}")));
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

    /// Trains every selected run that is not finished, several at a time, and writes `results.json` after each.
    ///
    /// # Errors
    /// [`Stopped`](crate::Stopped) if a run was stopped. Also if a run directory turns out to hold something else, or results cannot be
    /// written. A run that fails is no error here: [`check`](Self::check) returns it.
    pub fn train(&mut self, train: TrainFn<'_>) -> Result<()> {
        let folder = self.report_folder();
        files::create_folder(&folder)?;
        let selected: HashSet<String> = self.selected().map(|entry| entry.spec.name()).collect();
        let (setup, jobs) = (self.index.setup.clone(), self.options.jobs);
        queue::train_all(
            &mut self.index,
            |entry| selected.contains(&entry.spec.name()),
            |runs| parallelism(&setup, jobs, runs),
            train,
            self.options.quiet,
            |index| write_results(&self.experiments, index, &folder),
        )
    }

    /// Copies the finished runs of other machines' sweeps here: `folders` are their [`SweepOptions::out`]. Returns how many were copied.
    ///
    /// # Errors
    /// If a folder has no runs of this setup, or another run under the same name, or a run has different accuracies here and there; if
    /// files cannot be copied. What was copied until then stays.
    pub fn merge(&mut self, folders: &[PathBuf]) -> Result<usize> {
        files::create_folder(&self.report_folder())?;
        merge::copy_finished(&mut self.index, folders, &self.options.out)
    }

    /// Writes results, report and figures of the runs that have ended, and returns the tables as text.
    ///
    /// # Errors
    /// If a run directory cannot be read or a file cannot be written, naming it.
    pub fn write_report(&mut self) -> Result<String> {
        let folder = self.report_folder();
        files::create_folder(&folder)?;
        write_results(&self.experiments, &mut self.index, &folder)?;
        report::write(&self.experiments, &self.index, self.options.command.as_deref(), &folder)
    }

    /// Returns an error if a run failed or no selected run can be run.
    ///
    /// # Errors
    /// Names every failed run with its reason, or says that all selected runs are skipped.
    pub fn check(&self) -> Result<()> {
        let failed: Vec<_> = self
            .index
            .failed()
            .map(|(entry, reason)| format!("  {}: {reason}", entry.spec.name()))
            .collect();
        if !failed.is_empty() {
            bail!(
                "{} of {} runs failed:\n{}",
                failed.len(),
                self.index.entries.len(),
                failed.join("\n")
            );
        }
        if self
            .selected()
            .all(|entry| matches!(entry.status, RunStatus::Skipped(_)))
        {
            bail!("none of the selected runs can be run");
        }
        Ok(())
    }
}

/// Refuses a name that is not safe in the names of files and in a page.
fn check_name(name: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() || !name.chars().all(plain) {
        bail!("`{name}` cannot be the name of an experiment or a setup: expected letters, digits, `-` and `_`");
    }
    Ok(())
}

fn parallelism(setup: &Setup, jobs: Option<usize>, runs: usize) -> Parallelism {
    let cores = available_parallelism().map_or(1, usize::from);
    let one = setup.preset.runs_one_at_a_time() || setup.base.device.name == Device::Cuda;
    let default = if one { 1 } else { cores };
    Parallelism::new(cores, jobs.unwrap_or(default), runs)
}

/// Writes the results as far as they are known, to archive and folder.
fn write_results(experiments: &[Experiment], index: &mut RunIndex, folder: &Path) -> Result<()> {
    // Of several processes the one that writes last has read what all have finished.
    let _lock = lock(folder)?;
    index.refresh()?;
    index.archive()?;
    results_file::write(experiments, index, folder)
}

/// Waits until no other process writes results to `folder`, and keeps others waiting as long as the file is open.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn same_images(one: &RunConfig, other: &RunConfig) -> bool {
    (one.data.dataset, &one.data.path) == (other.data.dataset, &other.data.path)
}

/// Whether the error says that a data set is missing, while another may be there.
fn is_missing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(TrainError::Data(DataError::MissingFile { .. }))
    )
}
