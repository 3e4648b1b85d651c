//! Many requests to a disk or network at the same time: [`with_many_requests`].

use crate::DataError;
use std::io;

/// Requests at a time. The threads wait for a disk or network, so there are more of them than cores.
const AT_A_TIME: usize = 16;

/// Runs `work` in a rayon pool of its own, whose parallel iterators make many requests at the same time.
///
/// # Errors
/// Returns [`DataError::Spawn`] if the threads cannot be started.
pub(crate) fn with_many_requests<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, DataError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(AT_A_TIME).build();
    match pool {
        Ok(pool) => Ok(pool.install(work)),
        Err(error) => Err(DataError::Spawn {
            source: io::Error::other(error),
        }),
    }
}
