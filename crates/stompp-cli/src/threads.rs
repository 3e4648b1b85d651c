//! How many threads compute.

use anyhow::Context;
use clap::Args;
use std::num::NonZeroUsize;

/// The option `--threads`, for every command that computes.
#[derive(Args)]
#[command(next_help_heading = "Execution")]
pub(crate) struct Threads {
    /// Threads that compute; their number changes no bit of the result [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Threads {
    /// Computes `work` in a pool of this many threads.
    ///
    /// All of it, not only the parallel parts: each of these would otherwise be handed to the pool and waited for, which
    /// costs more than the smallest of them.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> anyhow::Result<R> {
        // To rayon 0 threads means one a core.
        let threads = self.threads.map_or(0, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(pool.context("cannot start the threads")?.install(work))
    }
}
