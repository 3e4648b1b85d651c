//! Processes that an MPI runtime started, on one machine or several.
//!
//! Two threads communicate, each with a communicator of its own: one for statistics and messages, one for sums in the background. The
//! first also starts and ends MPI, because the standard wants both in one thread.

use crate::lane::Lane;
use crate::transport::{Received, Transport};
use crate::{Collective, CollectiveError, PendingSum, Reduction};
use mpi::Threading;
use mpi::collective::{CommunicatorCollectives, SystemOperation};
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::request::{self, Request, Scope};
use mpi::topology::{Communicator, SimpleCommunicator};
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait asks again and again before it sleeps in between.
const BUSY: Duration = Duration::from_millis(1);
const SLEEP: Duration = Duration::from_micros(50);

/// The processes that `mpirun`, `mpiexec` or `srun` started together.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    size: usize,
    // Dropped before `messages`, whose thread ends MPI.
    buckets: Lane,
    messages: Lane,
}

impl Mpi {
    /// Starts MPI. Must be called once in a process, and by all processes.
    ///
    /// # Errors
    /// Returns [`CollectiveError::Mpi`] if MPI was started before or does not support several threads, and
    /// [`CollectiveError::ProcessCount`] if the reduction is exact and the number of processes is not a power of two.
    pub fn start(reduction: Reduction) -> Result<Self, CollectiveError> {
        let (messages, [rank, size]) = Lane::start(reduction, || {
            let (universe, threading) = mpi::initialize_with_threading(Threading::Multiple)
                .ok_or_else(|| problem("it was started before in this process"))?;
            if threading < Threading::Multiple {
                return Err(problem("it does not support several threads (MPI_THREAD_MULTIPLE)"));
            }
            let world = universe.world();
            let place = [world.rank(), world.size()].map(|number| number as usize);
            let transport = World {
                communicator: world.duplicate(),
                _universe: Some(universe),
            };
            Ok((transport, place))
        })?;
        reduction.check(size)?;
        // After the first thread is done with it: duplicating is a collective operation on the world.
        let (buckets, ()) = Lane::start(reduction, || {
            let transport = World {
                communicator: SimpleCommunicator::world().duplicate(),
                _universe: None,
            };
            Ok((transport, ()))
        })?;
        Ok(Self {
            rank,
            size,
            buckets,
            messages,
        })
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        self.messages.sum(values)
    }

    fn start_sum(&self, values: Vec<f32>) -> PendingSum {
        self.buckets.start_sum(values)
    }

    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.messages.gather(message)
    }

    fn bytes_sent(&self) -> u64 {
        self.messages.bytes_sent() + self.buckets.bytes_sent()
    }

    fn abort(&self, reason: &str) {
        if self.size > 1 {
            // What follows cannot be told anywhere if standard error is gone.
            let _ = writeln!(
                io::stderr(),
                "process {} ends all {} processes: {reason}",
                self.rank,
                self.size
            );
            SimpleCommunicator::world().abort(1);
        }
    }
}

/// A communicator in the thread that made it.
struct World {
    communicator: SimpleCommunicator,
    /// Ends MPI when it is dropped, after the communicator.
    _universe: Option<Universe>,
}

impl World {
    /// The number of bytes that each process sends to this one, which sends `counts` to them.
    fn received_counts(&self, counts: &[i32]) -> Vec<i32> {
        let mut received = vec![0; counts.len()];
        request::scope(|scope| {
            wait(
                self.communicator
                    .immediate_all_to_all_into(scope, counts, &mut received[..]),
            );
        });
        received
    }
}

impl Transport for World {
    fn rank(&self) -> usize {
        self.communicator.rank() as usize
    }

    fn size(&self) -> usize {
        self.communicator.size() as usize
    }

    fn all_to_all(&mut self, bytes: &[u8], lengths: &[usize]) -> Result<Received, CollectiveError> {
        let counts = lengths
            .iter()
            .map(|&length| count(length))
            .collect::<Result<Vec<i32>, _>>()?;
        let received_counts = self.received_counts(&counts);
        let mut received = Received::new(&received_counts);
        let (starts, received_starts) = (starts(&counts), starts(&received_counts));
        let sent = Partition::new(bytes, &counts[..], &starts[..]);
        let mut parts = PartitionMut::new(&mut received.bytes[..], &received_counts[..], &received_starts[..]);
        request::scope(|scope| {
            wait(
                self.communicator
                    .immediate_all_to_all_varcount_into(scope, &sent, &mut parts),
            );
        });
        Ok(received)
    }

    fn all_gather(&mut self, message: &[u8]) -> Result<Received, CollectiveError> {
        let own = count(message.len())?;
        let mut counts = vec![0; Transport::size(self)];
        request::scope(|scope| {
            wait(
                self.communicator
                    .immediate_all_gather_into(scope, &own, &mut counts[..]),
            );
        });
        let mut received = Received::new(&counts);
        if received.bytes.is_empty() {
            // Open MPI refuses to gather nothing from one process.
            return Ok(received);
        }
        let starts = starts(&counts);
        let mut parts = PartitionMut::new(&mut received.bytes[..], &counts[..], &starts[..]);
        request::scope(|scope| {
            wait(
                self.communicator
                    .immediate_all_gather_varcount_into(scope, message, &mut parts),
            );
        });
        Ok(received)
    }

    fn sum_in_any_order(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let own = values.to_vec();
        let sum = SystemOperation::sum();
        request::scope(|scope| {
            wait(
                self.communicator
                    .immediate_all_reduce_into(scope, &own[..], values, sum),
            );
        });
        Ok(())
    }
}

/// Waits for an operation. A wait of MPI itself keeps a core busy, which the threads that compute need.
fn wait<'a, D: ?Sized, S: Scope<'a>>(mut request: Request<'a, D, S>) {
    let begun = Instant::now();
    while let Err(unfinished) = request.test() {
        request = unfinished;
        match begun.elapsed() < BUSY {
            true => thread::yield_now(),
            false => thread::sleep(SLEEP),
        }
    }
}

/// A number of bytes as MPI counts it.
fn count(bytes: usize) -> Result<i32, CollectiveError> {
    i32::try_from(bytes).map_err(|_| problem(&format!("a message of {bytes} bytes is too large; the limit is 2 GiB")))
}

/// The place of each part, one after another.
fn starts(counts: &[i32]) -> Vec<i32> {
    let next = |start: &mut i32, count: &i32| {
        let place = *start;
        *start += count;
        Some(place)
    };
    counts.iter().scan(0, next).collect()
}

impl Received {
    /// Memory for messages of these lengths.
    fn new(counts: &[i32]) -> Self {
        let lengths: Vec<usize> = counts.iter().map(|&count| count as usize).collect();
        Self {
            bytes: vec![0; lengths.iter().sum()],
            lengths,
        }
    }
}

fn problem(problem: &str) -> CollectiveError {
    CollectiveError::Mpi {
        problem: problem.to_owned(),
    }
}
