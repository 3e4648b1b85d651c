//! The number of threads that compute.

use anyhow::Context;
use clap::Args;
use std::num::NonZeroUsize;

/// The option `--threads`, for every command that computes.
#[derive(Args)]
#[command(next_help_heading = "Execution")]
pub(crate) struct Threads {
    /// Number of threads; it does not change the result [default: one per core]
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
        // For rayon, 0 threads means one per core.
        let threads = self.threads.map_or(0, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(pool.context("cannot start the threads")?.install(work))
    }
}
