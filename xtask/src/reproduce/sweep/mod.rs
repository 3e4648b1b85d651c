//! Running many cells: several at a time, each in a thread pool of its own; one that fails does not stop the others.
//!
//! **A sweep can be killed at any moment and be one of several**: a run goes on from its last checkpoint, and what another process
//! is at is left to it, and looked at again at the end.

pub(crate) mod cost;
mod progress;
mod shard;

use super::ledger::{Divergence, Entry, Ledger, Outcome};
use anyhow::{Context, Result};
use progress::Progress;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use stompp_train::{Callback, RunConfig, TrainError};

pub(crate) use shard::Shard;

/// What trains one run, from its beginning or from where it stands: a [`Session`](stompp_train::Session), or something quick that
/// stands for it.
pub(crate) type Runner<'a> = &'a (dyn Fn(&RunConfig, &Path, &mut [&mut dyn Callback]) -> Result<(), TrainError> + Sync);

/// How the machine is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Runs at a time.
    pub(crate) jobs: usize,
    /// Threads of each.
    pub(crate) threads: usize,
}

impl Share {
    /// `cores` among at most `jobs` runs at a time, of which there are `runs`.
    pub(crate) fn of(cores: usize, jobs: usize, runs: usize) -> Self {
        let jobs = jobs.min(runs).max(1);
        Self {
            jobs,
            threads: (cores / jobs).max(1),
        }
    }
}

/// A run that is due.
#[derive(Clone, Debug)]
struct Job {
    /// Position of the cell in the ledger.
    entry: usize,
    stage: u32,
    seed: u64,
    name: String,
    config: RunConfig,
    dir: PathBuf,
    cost: f64,
}

/// The sweep was told to stop; each of its runs has a checkpoint.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped; the same command goes on from there")
    }
}

impl std::error::Error for Stopped {}

/// How a run ended.
enum Ended {
    Done,
    /// Another process is at it.
    Busy,
    /// It was told to stop, and goes on another time.
    Stopped,
    Diverged(Divergence),
    Failed(String),
}

impl Job {
    fn new(position: usize, entry: &Entry) -> Option<Self> {
        if !entry.is_due() {
            return None;
        }
        let config = entry.cell.config()?.clone();
        Some(Self {
            entry: position,
            stage: entry.cell.stage,
            seed: entry.cell.seed,
            name: entry.cell.name(),
            cost: cost::relative(&config),
            config,
            dir: entry.dir.clone(),
        })
    }

    /// Trains. A panic is a failure, too.
    fn run(&self, runner: Runner<'_>, watcher: &mut (dyn Callback + Send)) -> Ended {
        let train = || runner(&self.config, &self.dir, &mut [watcher]);
        match catch_unwind(AssertUnwindSafe(train)) {
            Ok(Ok(())) => Ended::Done,
            Ok(Err(TrainError::Busy { .. })) => Ended::Busy,
            Ok(Err(TrainError::Stopped { .. })) => Ended::Stopped,
            Ok(Err(error)) => Divergence::of(&error).map_or_else(|| Ended::Failed(error.to_string()), Ended::Diverged),
            Err(panic) => Ended::Failed(format!("panicked: {}", panic_message(&*panic))),
        }
    }
}

/// Runs every cell that `selected` says and that is not finished; `kept` is called with the ledger after each that ends. Stages
/// follow each other; in each, all runs of a seed come before the next seed's, the longest first.
///
/// # Errors
/// If a run directory turns out to hold something else, or `kept` fails, or a run was told to stop ([`Stopped`]); then no further run
/// begins. A failed run is no error:
/// it is in the ledger.
pub(crate) fn run(
    ledger: &mut Ledger,
    selected: impl Fn(&Entry) -> bool,
    share: impl Fn(usize) -> Share,
    runner: Runner<'_>,
    quiet: bool,
    mut kept: impl FnMut(&mut Ledger) -> Result<()>,
) -> Result<()> {
    loop {
        let due = ledger.entries.iter().enumerate().filter(|(_, entry)| selected(entry));
        let jobs: Vec<_> = due.filter_map(|(position, entry)| Job::new(position, entry)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        pass(ledger, jobs, &share, runner, quiet, &mut kept)?;
        // What another process was at may have been given up.
        ledger.refresh()?;
    }
}

/// Runs each of `jobs` once.
fn pass(
    ledger: &mut Ledger,
    mut jobs: Vec<Job>,
    share: impl Fn(usize) -> Share,
    runner: Runner<'_>,
    quiet: bool,
    kept: &mut impl FnMut(&mut Ledger) -> Result<()>,
) -> Result<()> {
    jobs.sort_by(|a, b| {
        (a.stage, a.seed, b.cost)
            .partial_cmp(&(b.stage, b.seed, a.cost))
            .expect("costs are numbers")
    });
    let share = share(jobs.len());
    let pools = (0..share.jobs)
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(share.threads).build())
        .collect::<Result<Vec<_>, _>>()
        .context("cannot start threads")?;

    let names = jobs.iter().map(|job| job.name.len()).max().unwrap_or_default();
    let progress = Progress::new(jobs.len(), names, jobs.iter().map(|job| job.cost).sum(), quiet);
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
                    let mut watch = progress.begin(&job.name, job.cost);
                    let ended = pool.install(|| job.run(runner, &mut watch));
                    watch.end(&match &ended {
                        Ended::Done => "done".to_owned(),
                        Ended::Busy => "left to another process".to_owned(),
                        Ended::Stopped => "stopped, goes on another time".to_owned(),
                        Ended::Diverged(divergence) => divergence.to_string(),
                        Ended::Failed(reason) => reason.clone(),
                    });
                    if matches!(ended, Ended::Stopped) {
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
            note(&mut ledger.entries[position], ended);
            kept(ledger)
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

/// Notes how a run ended. Only what its directory holds counts.
fn note(entry: &mut Entry, ended: Ended) {
    let done = matches!(ended, Ended::Done);
    entry.outcome = match (ended, entry.refresh()) {
        (Ended::Failed(reason), _) => Outcome::Failed(reason),
        (Ended::Diverged(divergence), _) => Outcome::Diverged(divergence),
        (_, Err(error)) => Outcome::Failed(format!("{error:#}")),
        (_, Ok(())) if done && entry.record().is_none() => Outcome::Failed("it ended without a result".to_owned()),
        (_, Ok(())) => return,
    };
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("for a reason that is no text")
}
