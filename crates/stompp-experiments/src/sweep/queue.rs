//! Training many runs: several at a time, each in a thread pool of its own. A failed run does not stop the others.
//!
//! **A sweep can be killed at any moment, and several processes may run the same sweep.** A run resumes at its last checkpoint. A run that
//! another process is training is left to that process, and checked again at the end.

use super::cost;
use super::progress::SweepProgress;
use crate::divergence::Divergence;
use crate::error::{ExperimentError, Result};
use crate::parent;
use crate::run_index::{RunEntry, RunIndex, RunStatus};
use crate::setup::Setup;
use crate::train::TrainFn;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use stompp_train::config::Device;
use stompp_train::{Callback, RunConfig, TrainError};

/// Number of runs at a time, and of threads for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallelism {
    /// Number of runs at a time.
    pub jobs: usize,
    /// Number of threads of each run.
    pub threads: usize,
}

impl Parallelism {
    /// Divides this machine's cores, or the `RAYON_NUM_THREADS` of them, among `runs` runs of a setup, of which at most `jobs` are
    /// trained at a time. If absent: one for each core, but only one on a GPU and for networks of the paper's size.
    pub(super) fn for_setup(setup: &Setup, jobs: Option<usize>, runs: usize) -> Self {
        let cores = rayon::current_num_threads();
        let one = setup.preset.runs_one_at_a_time() || setup.base.device.name == Device::Cuda;
        Self::new(cores, jobs.unwrap_or(if one { 1 } else { cores }), runs)
    }

    /// Divides `cores` among `runs` runs, at most `jobs` at a time.
    fn new(cores: usize, jobs: usize, runs: usize) -> Self {
        let jobs = jobs.min(runs).max(1);
        Self {
            jobs,
            threads: (cores / jobs).max(1),
        }
    }
}

/// A run that is to be trained.
#[derive(Clone, Debug)]
struct Job {
    /// Position in the index.
    entry: usize,
    stage: u32,
    seed: u64,
    name: String,
    config: RunConfig,
    dir: PathBuf,
    cost: f64,
}

/// How a run ended.
enum RunEnd {
    Done,
    /// Another process is training it.
    Busy,
    /// It was stopped and has a checkpoint.
    Stopped,
    Diverged(Divergence),
    Failed(String),
}

impl Job {
    fn new(position: usize, entry: &RunEntry) -> Option<Self> {
        if !entry.is_due() {
            return None;
        }
        let mut config = entry.spec.config()?.clone();
        parent::locate(&mut config, entry.spec.parent.as_deref(), &entry.dir);
        Some(Self {
            entry: position,
            stage: entry.spec.stage,
            seed: entry.spec.seed,
            name: entry.spec.name(),
            cost: cost::relative(&config),
            config,
            dir: entry.dir.clone(),
        })
    }

    /// Trains the run. A panic counts as a failure.
    fn run(&self, train: TrainFn<'_>, progress: &mut (dyn Callback + Send)) -> RunEnd {
        let train = || train(&self.config, &self.dir, &mut [progress]);
        match catch_unwind(AssertUnwindSafe(train)) {
            Ok(Ok(())) => RunEnd::Done,
            Ok(Err(TrainError::Busy { .. })) => RunEnd::Busy,
            Ok(Err(TrainError::Stopped { .. })) => RunEnd::Stopped,
            Ok(Err(error)) => {
                Divergence::from_error(&error).map_or_else(|| RunEnd::Failed(error.to_string()), RunEnd::Diverged)
            }
            Err(panic) => RunEnd::Failed(format!("panicked: {}", panic_message(&*panic))),
        }
    }
}

/// Trains every run that `selected` accepts, that has not ended, and whose parent has weights. Calls `on_end` with the index after each run. The order is by stage,
/// then by seed, then the longest run first.
///
/// # Errors
/// Returns [`ExperimentError::Stopped`] if a run was stopped, [`ExperimentError::Threads`] if threads cannot be started, the errors of
/// [`RunIndex::refresh`] if a run directory turns out to hold something else, and the errors of `on_end`. Then no further run begins. A
/// failed run is no error: its reason is in the index.
pub(super) fn train_all(
    index: &mut RunIndex,
    selected: impl Fn(&RunEntry) -> bool,
    at_a_time: Option<usize>,
    train: TrainFn<'_>,
    quiet: bool,
    mut on_end: impl FnMut(&mut RunIndex) -> Result<()>,
) -> Result<()> {
    loop {
        let can_begin = |entry: &RunEntry| selected(entry) && index.has_parent(entry);
        let due = index.entries.iter().enumerate().filter(|(_, entry)| can_begin(entry));
        let jobs: Vec<_> = due.filter_map(|(position, entry)| Job::new(position, entry)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        train_jobs(index, jobs, at_a_time, train, quiet, &mut on_end)?;
        // Another process may have stopped while training one of them, and runs may now have the weights that they begin with.
        index.refresh()?;
    }
}

/// Trains each of `jobs` once.
fn train_jobs(
    index: &mut RunIndex,
    mut jobs: Vec<Job>,
    at_a_time: Option<usize>,
    train: TrainFn<'_>,
    quiet: bool,
    on_end: &mut impl FnMut(&mut RunIndex) -> Result<()>,
) -> Result<()> {
    jobs.sort_by(|a, b| {
        (a.stage, a.seed, b.cost)
            .partial_cmp(&(b.stage, b.seed, a.cost))
            .expect("costs are numbers")
    });
    let parallelism = Parallelism::for_setup(&index.setup, at_a_time, jobs.len());
    let pools = (0..parallelism.jobs)
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(parallelism.threads).build())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ExperimentError::Threads {
            problem: error.to_string(),
        })?;

    let name_width = jobs.iter().map(|job| job.name.len()).max().unwrap_or_default();
    let progress = SweepProgress::new(jobs.len(), name_width, jobs.iter().map(|job| job.cost).sum(), quiet);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stopped = AtomicBool::new(false);
    let (sender, ended) = mpsc::channel();
    let outcome = thread::scope(|scope| {
        for pool in &pools {
            let (sender, jobs, progress, next) = (sender.clone(), &jobs, &progress, &next);
            let (stop, stopped) = (&stop, &stopped);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed)
                    && let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let mut run = progress.begin(&job.name, job.cost);
                    let ended = pool.install(|| job.run(train, &mut run));
                    run.end(&match &ended {
                        RunEnd::Done => "done".to_owned(),
                        RunEnd::Busy => "left to another process".to_owned(),
                        RunEnd::Stopped => "stopped; the next sweep resumes it".to_owned(),
                        RunEnd::Diverged(divergence) => divergence.to_string(),
                        RunEnd::Failed(reason) => reason.clone(),
                    });
                    if matches!(ended, RunEnd::Stopped) {
                        stopped.store(true, Ordering::Relaxed);
                        stop.store(true, Ordering::Relaxed);
                    }
                    sender
                        .send((job.entry, ended))
                        .expect("the receiver outlives the workers");
                }
            });
        }
        drop(sender);
        let outcome = ended.iter().try_for_each(|(position, ended)| {
            record_end(&mut index.entries[position], ended);
            on_end(index)
        });
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    progress.finish();
    outcome?;
    if stopped.into_inner() {
        return Err(ExperimentError::Stopped);
    }
    Ok(())
}

/// Records how a run ended. Its status is read from its directory, unless it failed or diverged.
fn record_end(entry: &mut RunEntry, ended: RunEnd) {
    let done = matches!(ended, RunEnd::Done);
    entry.status = match (ended, entry.refresh()) {
        (RunEnd::Failed(reason), _) => RunStatus::Failed(reason),
        (RunEnd::Diverged(divergence), _) => RunStatus::Diverged(divergence),
        (_, Err(error)) => RunStatus::Failed(error.to_string()),
        (_, Ok(())) if done && entry.finished_run().is_none() => {
            RunStatus::Failed("it ended without a result".to_owned())
        }
        (_, Ok(())) => return,
    };
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("for a reason that is no text")
}
