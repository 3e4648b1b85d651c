//! A group of threads in one process, for tests and for trying things without MPI.

use crate::lane::Lane;
use crate::transport::{Received, Transport};
use crate::{Collective, CollectiveError, PendingSum, Reduction};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One member of a group of threads. Each thread has one, as a process has its rank.
///
/// ```
/// use stompp_parallel::{Collective, LocalGroup, Reduction};
///
/// let members = LocalGroup::members(2, Reduction::Exact)?;
/// std::thread::scope(|threads| {
///     for member in members {
///         threads.spawn(move || {
///             let mut values = [member.rank() as f64, 1.0];
///             member.sum(&mut values).unwrap();
///             assert_eq!(values, [1.0, 2.0]);
///         });
///     }
/// });
/// # Ok::<(), stompp_parallel::CollectiveError>(())
/// ```
#[derive(Debug)]
pub struct LocalGroup {
    rank: usize,
    size: usize,
    /// Statistics and messages.
    messages: Lane,
    /// Sums in the background.
    buckets: Lane,
    exchanges: [Arc<Exchange>; 2],
}

impl LocalGroup {
    /// Creates a group of `size` members, by rank.
    ///
    /// # Errors
    /// Returns [`CollectiveError::ProcessCount`] if the reduction is exact and `size` is not a power of two, and
    /// [`CollectiveError::Lost`] if a thread cannot be started.
    ///
    /// # Panics
    /// Panics if `size` is 0.
    pub fn members(size: usize, reduction: Reduction) -> Result<Vec<Self>, CollectiveError> {
        assert!(size > 0, "a group has a member");
        reduction.check(size)?;
        let exchanges = [Exchange::new(size), Exchange::new(size)];
        let member = |rank| {
            let lane = |exchange: &Arc<Exchange>| {
                let exchange = Arc::clone(exchange);
                let (lane, ()) = Lane::start(reduction, move || Ok((Member { rank, exchange }, ())))?;
                Ok(lane)
            };
            Ok(Self {
                rank,
                size,
                messages: lane(&exchanges[0])?,
                buckets: lane(&exchanges[1])?,
                exchanges: exchanges.clone(),
            })
        };
        (0..size).map(member).collect()
    }
}

impl Collective for LocalGroup {
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
        for exchange in &self.exchanges {
            exchange.leave(self.rank, reason);
        }
    }
}

/// Others that still wait for this member get an error.
impl Drop for LocalGroup {
    fn drop(&mut self) {
        self.abort("it has left the group");
    }
}

/// One message of each member at a time.
#[derive(Debug)]
struct Exchange {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The message of each member in the current round.
    messages: Vec<Option<Arc<Vec<u8>>>>,
    /// Members that have read the messages of the current round.
    readers: usize,
    /// Members that have left, each with the reason.
    left: Vec<(usize, String)>,
}

impl Exchange {
    fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                messages: vec![None; size],
                readers: 0,
                left: Vec::new(),
            }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready`, unless that cannot happen because a member has left.
    fn wait(&self, ready: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, CollectiveError> {
        let mut state = self.lock();
        while !ready(&state) {
            let missing = |(rank, _): &&(usize, String)| state.messages[*rank].is_none();
            if let Some((rank, reason)) = state.left.iter().find(missing) {
                return Err(CollectiveError::Lost {
                    rank: *rank,
                    reason: reason.clone(),
                });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state)
    }

    /// Returns the messages of all members.
    fn all_gather(&self, rank: usize, message: &[u8]) -> Result<Vec<Arc<Vec<u8>>>, CollectiveError> {
        // The last round has ended when every member has read its messages.
        self.wait(|state| state.messages[rank].is_none())?.messages[rank] = Some(Arc::new(message.to_vec()));
        self.changed.notify_all();
        let mut state = self.wait(|state| state.messages.iter().all(Option::is_some))?;
        let messages = state.messages.iter().flatten().cloned().collect();
        state.readers += 1;
        if state.readers == state.messages.len() {
            state.readers = 0;
            state.messages.fill(None);
            self.changed.notify_all();
        }
        Ok(messages)
    }

    fn leave(&self, rank: usize, reason: &str) {
        self.lock().left.push((rank, reason.to_owned()));
        self.changed.notify_all();
    }
}

/// The transport of one member.
struct Member {
    rank: usize,
    exchange: Arc<Exchange>,
}

impl Transport for Member {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.exchange.lock().messages.len()
    }

    fn all_to_all(&mut self, bytes: &[u8], lengths: &[usize]) -> Result<Received, CollectiveError> {
        // Every member has all parts of the others, and takes its own.
        let sizes = lengths.iter().flat_map(|&length| (length as u64).to_le_bytes());
        let message: Vec<u8> = sizes.chain(bytes.iter().copied()).collect();
        let messages = self.exchange.all_gather(self.rank, &message)?;
        let part = |(rank, message): (usize, &Arc<Vec<u8>>)| {
            part_of(message, lengths.len(), self.rank).ok_or(CollectiveError::Mismatch { rank })
        };
        let parts = messages.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()?;
        Ok(Received::from_messages(&parts))
    }

    fn all_gather(&mut self, message: &[u8]) -> Result<Received, CollectiveError> {
        let messages = self.exchange.all_gather(self.rank, message)?;
        let messages: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
        Ok(Received::from_messages(&messages))
    }

    /// In the order of the ranks.
    fn sum_in_any_order(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let messages = self.exchange.all_gather(self.rank, bytemuck::cast_slice(values))?;
        values.fill(0.0);
        for (rank, message) in messages.iter().enumerate() {
            if message.len() != size_of_val(values) {
                return Err(CollectiveError::Mismatch { rank });
            }
            let summands: Vec<f32> = bytemuck::allocation::pod_collect_to_vec(message);
            values.iter_mut().zip(summands).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }
}

/// The part for process `rank` in a message of `parts` sizes and then the parts.
fn part_of(message: &[u8], parts: usize, rank: usize) -> Option<Vec<u8>> {
    let (sizes, bytes) = message.split_at_checked(parts * 8)?;
    let sizes: Vec<usize> = sizes
        .as_chunks()
        .0
        .iter()
        .map(|size| u64::from_le_bytes(*size) as usize)
        .collect();
    let start: usize = sizes[..rank].iter().sum();
    bytes.get(start..start + sizes[rank]).map(<[u8]>::to_vec)
}
