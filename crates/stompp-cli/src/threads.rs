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
    /// Makes the pool of this process. Call it once.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        // To rayon 0 threads means one a core.
        let threads = self.threads.map_or(0, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().context("cannot start the threads")
    }
}
