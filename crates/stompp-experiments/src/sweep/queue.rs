//! Training many runs: several at a time, each in a thread pool of its own. One that fails does not stop the others.
//!
//! **A sweep can be killed at any moment and be one of several**: a run continues at its last checkpoint, and a run that another process
//! trains is left to it and looked at again at the end.

use super::cost;
use super::progress::SweepProgress;
use crate::divergence::Divergence;
use crate::run_index::{RunEntry, RunIndex, RunStatus};
use crate::train::{Stopped, TrainFn};
use anyhow::{Context, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use stompp_train::{Callback, RunConfig, TrainError};

/// How runs use the machine's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallelism {
    /// Runs at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
}

impl Parallelism {
    /// `cores` for `runs` runs, of which at most `jobs` are trained at a time.
    pub(super) fn new(cores: usize, jobs: usize, runs: usize) -> Self {
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
    /// Another process trains it.
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
        let config = entry.spec.config()?.clone();
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

    /// Trains. A panic is a failure, too.
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

/// Trains every run that `selected` says and that has not ended; `on_end` is called with the index after each. Stages follow each
/// other; in each, all runs of a seed come before the next seed's, the longest first.
///
/// # Errors
/// If a run directory turns out to hold something else, `on_end` fails, or a run was stopped ([`Stopped`]); then no further run
/// begins. A failed run is no error: it is in the index.
pub(super) fn train_all(
    index: &mut RunIndex,
    selected: impl Fn(&RunEntry) -> bool,
    parallelism: impl Fn(usize) -> Parallelism,
    train: TrainFn<'_>,
    quiet: bool,
    mut on_end: impl FnMut(&mut RunIndex) -> Result<()>,
) -> Result<()> {
    loop {
        let due = index.entries.iter().enumerate().filter(|(_, entry)| selected(entry));
        let jobs: Vec<_> = due.filter_map(|(position, entry)| Job::new(position, entry)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        train_jobs(index, jobs, &parallelism, train, quiet, &mut on_end)?;
        // Another process may have stopped while training one of them.
        index.refresh()?;
    }
}

/// Trains each of `jobs` once.
fn train_jobs(
    index: &mut RunIndex,
    mut jobs: Vec<Job>,
    parallelism: impl Fn(usize) -> Parallelism,
    train: TrainFn<'_>,
    quiet: bool,
    on_end: &mut impl FnMut(&mut RunIndex) -> Result<()>,
) -> Result<()> {
    jobs.sort_by(|a, b| {
        (a.stage, a.seed, b.cost)
            .partial_cmp(&(b.stage, b.seed, a.cost))
            .expect("costs are numbers")
    });
    let parallelism = parallelism(jobs.len());
    let pools = (0..parallelism.jobs)
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(parallelism.threads).build())
        .collect::<Result<Vec<_>, _>>()
        .context("cannot start threads")?;

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
                        RunEnd::Stopped => "stopped, goes on another time".to_owned(),
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
        return Err(Stopped.into());
    }
    Ok(())
}

/// Records how a run ended: its directory decides, unless it failed or diverged.
fn record_end(entry: &mut RunEntry, ended: RunEnd) {
    let done = matches!(ended, RunEnd::Done);
    entry.status = match (ended, entry.refresh()) {
        (RunEnd::Failed(reason), _) => RunStatus::Failed(reason),
        (RunEnd::Diverged(divergence), _) => RunStatus::Diverged(divergence),
        (_, Err(error)) => RunStatus::Failed(format!("{error:#}")),
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
