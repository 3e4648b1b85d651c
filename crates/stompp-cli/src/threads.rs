//! The number of threads that compute.

use anyhow::Context;
use clap::Args;
use std::{
    num::NonZeroUsize,
    thread::{self, available_parallelism},
};

/// The option `--threads`, for every command that computes.
#[derive(Args)]
#[command(next_help_heading = "Execution")]
pub(crate) struct Threads {
    /// Number of threads of each process; it does not change the result [default: one per core; processes on the same cores divide
    /// them]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Threads {
    /// Runs `work` in a pool with this number of threads.
    ///
    /// All of `work` runs in the pool, not only its parallel parts. Otherwise each parallel part would have to be sent to the pool and
    /// waited for, which costs more than the smallest parts themselves.
    ///
    /// # Errors
    /// Returns an error if the threads cannot be started.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> anyhow::Result<R> {
        self.run_beside(1, work)
    }

    /// As [`run`](Self::run), where `processes` processes divide the cores.
    ///
    /// # Errors
    /// Returns an error if the threads cannot be started.
    pub(crate) fn run_beside<R: Send>(&self, processes: usize, work: impl FnOnce() -> R + Send) -> anyhow::Result<R> {
        let share = || match processes {
            1 => 0, // For rayon, this means `RAYON_NUM_THREADS` or one per core.
            _ => available_parallelism().map_or(1, |cores| (cores.get() / processes).max(1)),
        };
        let threads = self.threads.map_or_else(share, usize::from);
        let mut workers = Vec::new();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|worker| {
                workers.push(thread::Builder::new().spawn(|| worker.run())?);
                Ok(())
            })
            .build()
            .context("cannot start the threads")?;
        let result = pool.install(work);
        // Rayon does not wait for its threads. As they end, they free memory of a GPU, whose driver must still be there.
        drop(pool);
        for worker in workers {
            let _ = worker.join(); // A panic of `work` has already been passed on.
        }
        Ok(result)
    }
}
