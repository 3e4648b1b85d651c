//! Processes that each have a GPU and add over NCCL.
//!
//! One thread does all of it with one communicator: NCCL's operations on two communicators could wait for each other.

use crate::lane::Lane;
use crate::meeting::{self, Place};
use crate::transport::{Received, Transport};
use crate::{Collective, CollectiveError, PendingSum, Reduction};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use stompp_cuda::{Communicator, UniqueId, gpu_of_process};

/// Processes that a launcher started together. Each has a GPU, and sums go over NCCL.
///
/// Values begin and end in host memory. With [`Reduction::Exact`], NCCL carries the summands, and each process adds a part of them on the
/// CPU, in pairs. [`Reduction::Fast`] is `ncclAllReduce`.
#[derive(Debug)]
pub struct Nccl {
    rank: usize,
    size: usize,
    lane: Lane,
    /// Sends messages instead of NCCL.
    messages: Option<Arc<dyn Collective>>,
}

impl Nccl {
    /// Sums over NCCL for the processes of `group`, which goes on sending messages. `gpu` is the number of this process among those of
    /// this machine, each of which uses another GPU.
    ///
    /// # Errors
    /// Returns [`CollectiveError::Nccl`] if NCCL is not installed or fails, and the errors of `group`. Then the group was ended
    /// ([`Collective::abort`]): others would wait for this process.
    pub fn beside(group: Arc<dyn Collective>, reduction: Reduction, gpu: usize) -> Result<Self, CollectiveError> {
        let (rank, size) = (group.rank(), group.size());
        let started = reduction.check(size).and_then(|()| {
            let id = match rank {
                0 => UniqueId::new().map_err(problem)?.as_bytes().to_vec(),
                _ => Vec::new(),
            };
            let id = group.broadcast(id)?;
            let id = UniqueId::from_bytes(&id).ok_or(CollectiveError::Mismatch { rank: 0 })?;
            join(id, [rank, size], reduction, gpu)
        });
        let lane = started.inspect_err(|error| group.abort(&error.to_string()))?;
        Ok(Self {
            rank,
            size,
            lane,
            messages: Some(group),
        })
    }

    /// The processes that a launcher started, without MPI. They meet through `file`, which all of them must see and which must not exist:
    /// process 0 writes it, and removes it when all have come. The launcher says by environment variables how many processes there are
    /// and which one this is (those of Slurm, Open MPI, MPICH or `torchrun`).
    ///
    /// If a process ends, NCCL does not always notice. The launcher must end the others, as `srun --kill-on-bad-exit=1` does.
    ///
    /// # Errors
    /// Returns [`CollectiveError::Meeting`] if no launcher started the process, there is a file that is not left from another start,
    /// it cannot be written, or it does not appear within five minutes, [`CollectiveError::Nccl`] if NCCL is not installed or fails, and
    /// [`CollectiveError::ProcessCount`] if the reduction is exact and the number of processes is not a power of two.
    pub fn meet(file: &Path, reduction: Reduction) -> Result<Self, CollectiveError> {
        let place = Place::from_environment()?;
        let Place { rank, size, local, .. } = place;
        reduction.check(size)?;
        let id = match rank {
            0 => {
                let id = UniqueId::new().map_err(problem)?;
                meeting::write(file, &place, id.as_bytes())?;
                id
            }
            _ => UniqueId::from_bytes(&meeting::read(file, &place)?).ok_or(CollectiveError::Mismatch { rank: 0 })?,
        };
        let lane = join(id, [rank, size], reduction, local);
        if rank == 0 {
            // All have read it, or none ever will. If it cannot be removed, the next start says so.
            let _ = meeting::end(file);
        }
        Ok(Self {
            rank,
            size,
            lane: lane?,
            messages: None,
        })
    }
}

/// Starts the thread that communicates.
fn join(id: UniqueId, [rank, size]: [usize; 2], reduction: Reduction, gpu: usize) -> Result<Lane, CollectiveError> {
    let open = move || {
        let gpu = gpu_of_process(gpu).map_err(problem)?;
        Ok((Group(Communicator::join(id, rank, size, gpu).map_err(problem)?), ()))
    };
    Ok(Lane::start(reduction, open)?.0)
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        self.lane.sum(values)
    }

    fn start_sum(&self, values: Vec<f32>) -> PendingSum {
        self.lane.start_sum(values)
    }

    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        match &self.messages {
            Some(group) => group.gather(message),
            None => self.lane.gather(message),
        }
    }

    fn bytes_sent(&self) -> u64 {
        self.lane.bytes_sent() + self.messages.as_ref().map_or(0, |group| group.bytes_sent())
    }

    fn abort(&self, reason: &str) {
        if let Some(group) = &self.messages {
            return group.abort(reason);
        }
        if self.size > 1 {
            // What follows cannot be told anywhere if standard error is gone.
            let _ = writeln!(
                std::io::stderr(),
                "process {} ends, and its launcher must end all {} processes: {reason}",
                self.rank,
                self.size
            );
            std::process::exit(1);
        }
    }
}

/// The transport of one process.
struct Group(Communicator);

/// Bytes of a length.
const LENGTH: usize = size_of::<u64>();

fn lengths_of(bytes: &[u8]) -> Vec<usize> {
    let length = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a chunk has its size")) as usize;
    bytes.chunks_exact(LENGTH).map(length).collect()
}

impl Transport for Group {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn all_to_all(&mut self, bytes: &[u8], lengths: &[usize]) -> Result<Received, CollectiveError> {
        let own: Vec<u8> = lengths
            .iter()
            .flat_map(|&length| (length as u64).to_le_bytes())
            .collect();
        let all = lengths_of(&self.0.all_gather(&own).map_err(problem)?);
        let rank = self.0.rank();
        let received: Vec<usize> = all.chunks_exact(lengths.len()).map(|sent| sent[rank]).collect();
        Ok(Received {
            bytes: self.0.all_to_all(bytes, lengths, &received).map_err(problem)?,
            lengths: received,
        })
    }

    fn all_gather(&mut self, message: &[u8]) -> Result<Received, CollectiveError> {
        let own = (message.len() as u64).to_le_bytes();
        let lengths = lengths_of(&self.0.all_gather(&own).map_err(problem)?);
        // NCCL gathers the same number of bytes from each process.
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut padded = message.to_vec();
        padded.resize(longest, 0);
        let all = self.0.all_gather(&padded).map_err(problem)?;
        if lengths.iter().all(|&length| length == longest) {
            return Ok(Received { bytes: all, lengths });
        }
        let message = |(rank, &length): (usize, &usize)| &all[rank * longest..][..length];
        let messages: Vec<&[u8]> = lengths.iter().enumerate().map(message).collect();
        Ok(Received::from_messages(&messages))
    }

    fn sum_in_any_order(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        self.0.sum(values).map_err(problem)
    }
}

fn problem(error: impl fmt::Display) -> CollectiveError {
    CollectiveError::Nccl {
        problem: error.to_string(),
    }
}
