//! Many requests to a disk or network at the same time: [`with_many_requests`].

use crate::DataError;
use rayon::ThreadPool;
use std::io;
use std::sync::OnceLock;

/// Requests at a time. The threads wait for a disk or network, so there are more of them than cores.
const AT_A_TIME: usize = 16;

/// The threads, for the whole process: starting them takes longer than the requests of a small folder.
static POOL: OnceLock<ThreadPool> = OnceLock::new();

/// Runs `work` in a rayon pool of its own, whose parallel iterators make many requests at the same time.
///
/// # Errors
/// Returns [`DataError::Spawn`] if the threads cannot be started.
pub(crate) fn with_many_requests<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, DataError> {
    if let Some(pool) = POOL.get() {
        return Ok(pool.install(work));
    }
    let started = rayon::ThreadPoolBuilder::new().num_threads(AT_A_TIME).build();
    let started = started.map_err(|error| DataError::Spawn {
        source: io::Error::other(error),
    })?;
    Ok(POOL.get_or_init(|| started).install(work))
}
