//! Errors of collective operations.

/// The reason why processes cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// Exact sums need a power of two as the number of processes.
    #[error("{processes} processes cannot add exactly: their number must be a power of two, such as 2, 4 or 8")]
    ProcessCount {
        /// Number of processes.
        processes: usize,
    },
    /// A process ended while others needed it.
    #[error("process {rank} ended: {reason}")]
    Lost {
        /// The process.
        rank: usize,
        /// Why it ended, if it said so.
        reason: String,
    },
    /// The processes called different functions, or with values of different lengths.
    #[error("process {rank} does something else than this one: the processes have lost their common order")]
    Mismatch {
        /// The other process.
        rank: usize,
    },
    /// NCCL cannot be used.
    #[error("{problem}")]
    Nccl {
        /// The problem.
        problem: String,
    },
    /// Processes without MPI have not found each other.
    #[error("{problem}")]
    Meeting {
        /// The problem.
        problem: String,
    },
    /// MPI cannot be used.
    #[error("MPI: {problem}")]
    Mpi {
        /// The problem.
        problem: String,
    },
}

impl CollectiveError {
    /// The thread that communicates has ended, for example because it panicked.
    pub(crate) fn thread_ended() -> Self {
        Self::Lost {
            rank: 0,
            reason: "its thread has ended".to_owned(),
        }
    }
}
