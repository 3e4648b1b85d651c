//! Running many cells: several at a time, each in a thread pool of its own; one that fails does not stop the others.

use super::cost;
use super::ledger::{Entry, Ledger, Outcome};
use super::progress::Progress;
use super::{report, results};
use anyhow::{Context, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::{fs, thread};
use stompp_train::{Callback, RunConfig, TrainError};

/// What trains one run into a new run directory: [`stompp_train::train`], or something quick that stands for it.
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
    seed: u64,
    name: String,
    config: RunConfig,
    dir: PathBuf,
    /// Whether an interrupted run is in the way.
    interrupted: bool,
    cost: f64,
}

impl Job {
    fn new(position: usize, entry: &Entry) -> Option<Self> {
        if !entry.is_due() {
            return None;
        }
        let config = entry.cell.config()?.clone();
        Some(Self {
            entry: position,
            seed: entry.cell.seed,
            name: entry.cell.name(),
            cost: cost::relative(&config),
            config,
            dir: entry.dir.clone(),
            interrupted: entry.outcome == Outcome::Interrupted,
        })
    }

    /// Trains, and returns why that failed. A panic is a failure, too.
    fn run(&self, runner: Runner<'_>, watcher: &mut (dyn Callback + Send)) -> Result<()> {
        if self.interrupted {
            fs::remove_dir_all(&self.dir)
                .with_context(|| format!("cannot remove the interrupted run {}", self.dir.display()))?;
        }
        let train = || runner(&self.config, &self.dir, &mut [watcher]);
        match catch_unwind(AssertUnwindSafe(train)) {
            Ok(outcome) => Ok(outcome?),
            Err(panic) => anyhow::bail!("panicked: {}", panic_message(&*panic)),
        }
    }
}

/// Runs every cell that `selected` says and that is not finished, and keeps the ledger, `results.json` and `table.md` up to
/// date with each that ends. All runs of a seed come before the next seed's, the longest first.
///
/// # Errors
/// If results cannot be written; then no further run begins. A failed run is no error: it is in the ledger.
pub(crate) fn run(
    ledger: &mut Ledger,
    selected: impl Fn(&Entry) -> bool,
    share: impl Fn(usize) -> Share,
    runner: Runner<'_>,
    quiet: bool,
) -> Result<()> {
    let mut jobs: Vec<Job> = ledger
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| selected(entry))
        .filter_map(|(position, entry)| Job::new(position, entry))
        .collect();
    jobs.sort_by(|a, b| {
        (a.seed, b.cost)
            .partial_cmp(&(b.seed, a.cost))
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
    let (sender, ended) = mpsc::channel();
    let kept = thread::scope(|scope| {
        for pool in &pools {
            let (sender, jobs, progress, next, stop) = (sender.clone(), &jobs, &progress, &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed)
                    && let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let mut watch = progress.begin(&job.name, job.cost);
                    let outcome = pool.install(|| job.run(runner, &mut watch));
                    let failure = outcome.err().map(|error| format!("{error:#}"));
                    watch.end(failure.as_deref().unwrap_or("done"));
                    sender
                        .send((job.entry, failure))
                        .expect("the receiver outlives the workers");
                }
            });
        }
        drop(sender);
        let kept = ended
            .iter()
            .try_for_each(|(entry, failure)| keep(ledger, entry, failure));
        stop.store(true, Ordering::Relaxed);
        kept
    });
    progress.finish();
    kept
}

/// Notes in the ledger and in its files how a run ended. Only what its directory holds counts.
fn keep(ledger: &mut Ledger, position: usize, failure: Option<String>) -> Result<()> {
    let entry = &mut ledger.entries[position];
    match failure {
        Some(reason) => entry.outcome = Outcome::Failed(reason),
        None => {
            if let Err(error) = entry.refresh() {
                entry.outcome = Outcome::Failed(format!("{error:#}"));
            }
        }
    }
    results::write(ledger)?;
    report::write(ledger).map(drop)
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("for a reason that is no text")
}
