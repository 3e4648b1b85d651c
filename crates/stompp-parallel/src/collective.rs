//! The trait that training uses, and its values.

use crate::CollectiveError;
use std::fmt::Debug;
use std::sync::mpsc::Receiver;

/// How sums over processes are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// In pairs, as one process does it. The number of processes must be a power of two.
    #[default]
    Exact,
    /// In the order that the runtime chooses, which may depend on the number of processes and on the network. Any number of processes.
    Fast,
}

impl Reduction {
    /// Checks that so many processes can add in this way.
    ///
    /// # Errors
    /// Returns [`CollectiveError::ProcessCount`] if they cannot.
    pub(crate) fn check(self, processes: usize) -> Result<(), CollectiveError> {
        match self {
            Self::Exact if !processes.is_power_of_two() => Err(CollectiveError::ProcessCount { processes }),
            Self::Exact | Self::Fast => Ok(()),
        }
    }
}

/// A group of processes that train together. Every process calls the same functions in the same order.
///
/// # Errors
/// Every function returns [`CollectiveError::Lost`] if another process has ended, and [`CollectiveError::Mismatch`] if a process called
/// another function. With MPI, the runtime may end the process instead.
pub trait Collective: Debug + Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Replaces `values` in each process by their sum over all processes.
    ///
    /// # Errors
    /// See the trait.
    fn sum(&self, values: &mut [f64]) -> Result<(), CollectiveError>;

    /// Starts to add `values` over all processes, and returns at once. The sums are computed one after another, beside all other
    /// functions of this trait. (Over NCCL everything is done in order.)
    fn start_sum(&self, values: Vec<f32>) -> PendingSum;

    /// Sends `message` to all processes. Returns the messages of all processes, by rank.
    ///
    /// # Errors
    /// See the trait.
    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Returns the message of process 0 in every process. The messages of the others are ignored.
    ///
    /// # Errors
    /// See the trait.
    fn broadcast(&self, message: Vec<u8>) -> Result<Vec<u8>, CollectiveError> {
        let message = if self.rank() == 0 { message } else { Vec::new() };
        Ok(self.gather(message)?.swap_remove(0))
    }

    /// Waits until every process has called this.
    ///
    /// # Errors
    /// See the trait.
    fn barrier(&self) -> Result<(), CollectiveError> {
        self.gather(Vec::new()).map(drop)
    }

    /// Number of bytes that this process has sent to others.
    fn bytes_sent(&self) -> u64;

    /// Tells the other processes that this one cannot go on, and why. Over MPI this ends all processes and does not return, unless there
    /// is only one. Over NCCL without MPI it ends this process, and its launcher must end the others.
    fn abort(&self, reason: &str);
}

/// A sum that is being computed.
#[derive(Debug)]
pub struct PendingSum(Receiver<Result<Vec<f32>, CollectiveError>>);

impl PendingSum {
    pub(crate) fn new(receiver: Receiver<Result<Vec<f32>, CollectiveError>>) -> Self {
        Self(receiver)
    }

    /// Waits for the sum.
    ///
    /// # Errors
    /// Returns [`CollectiveError::Lost`] if a process has ended, and [`CollectiveError::Mismatch`] if the processes started different sums.
    pub fn wait(self) -> Result<Vec<f32>, CollectiveError> {
        self.0.recv().unwrap_or_else(|_| Err(CollectiveError::thread_ended()))
    }
}
