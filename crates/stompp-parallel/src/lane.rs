//! A thread that does the collective operations of a group, one after another.
//!
//! Only this thread uses the transport, so that the order of operations is the order in which they were asked for.

use crate::sum::sum_in_pairs;
use crate::transport::Transport;
use crate::{CollectiveError, PendingSum, Reduction};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

type Answer<T> = Sender<Result<T, CollectiveError>>;

/// One collective operation, and where its result goes.
enum Job {
    Sum(Vec<f64>, Answer<Vec<f64>>),
    SumBucket(Vec<f32>, Answer<Vec<f32>>),
    Gather(Vec<u8>, Answer<Vec<Vec<u8>>>),
}

/// The thread, and the way to it. Dropping it waits for the thread.
#[derive(Debug)]
pub(crate) struct Lane {
    /// `None` while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    bytes_sent: Arc<AtomicU64>,
}

impl Lane {
    /// Starts the thread. `open` makes the transport in it, and its result is returned with the lane.
    pub(crate) fn start<T: Transport, R: Send + 'static>(
        reduction: Reduction,
        open: impl FnOnce() -> Result<(T, R), CollectiveError> + Send + 'static,
    ) -> Result<(Self, R), CollectiveError> {
        let (jobs, queue) = mpsc::channel();
        let (opened, is_open) = mpsc::channel();
        let bytes_sent = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&bytes_sent);
        let serve = move || match open() {
            Ok((mut transport, result)) => {
                // The receiver waits for this message.
                let _ = opened.send(Ok(result));
                serve(&mut transport, reduction, &queue, &counter);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        };
        let thread = thread::Builder::new()
            .name("collective".to_owned())
            .spawn(serve)
            .map_err(|error| CollectiveError::Lost {
                rank: 0,
                reason: format!("its thread cannot be started: {error}"),
            })?;
        let lane = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            bytes_sent,
        };
        let result = is_open
            .recv()
            .unwrap_or_else(|_| Err(CollectiveError::thread_ended()))?;
        Ok((lane, result))
    }

    pub(crate) fn sum(&self, values: &mut [f64]) -> Result<(), CollectiveError> {
        let summed = self.ask(|answer| Job::Sum(values.to_vec(), answer))?;
        values.copy_from_slice(&summed);
        Ok(())
    }

    pub(crate) fn start_sum(&self, values: Vec<f32>) -> PendingSum {
        let (answer, receiver) = mpsc::channel();
        // A thread that has ended drops the answer's sender, and the receiver finds that out.
        let _ = self.jobs().send(Job::SumBucket(values, answer));
        PendingSum::new(receiver)
    }

    pub(crate) fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.ask(|answer| Job::Gather(message, answer))
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, CollectiveError> {
        let (answer, receiver) = mpsc::channel();
        let _ = self.jobs().send(job(answer));
        receiver.recv().unwrap_or_else(|_| Err(CollectiveError::thread_ended()))
    }

    fn jobs(&self) -> &Sender<Job> {
        self.jobs.as_ref().expect("it is not being dropped")
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, its panic was printed, and its callers got errors.
            let _ = thread.join();
        }
    }
}

/// Does jobs until there are no more.
fn serve(transport: &mut impl Transport, reduction: Reduction, queue: &Receiver<Job>, bytes_sent: &AtomicU64) {
    for job in queue {
        match job {
            // Small, and always in pairs, so that statistics are the same in every process.
            Job::Sum(mut values, answer) => {
                let sent = sum_in_pairs(transport, &mut values);
                reply(answer, bytes_sent, sent, values);
            }
            Job::SumBucket(mut values, answer) => {
                let sent = match reduction {
                    Reduction::Exact => sum_in_pairs(transport, &mut values),
                    Reduction::Fast => {
                        let others = transport.size() - 1;
                        let bytes = 2 * size_of_val(&*values) * others / transport.size();
                        transport.sum_in_any_order(&mut values).map(|()| bytes as u64)
                    }
                };
                reply(answer, bytes_sent, sent, values);
            }
            Job::Gather(message, answer) => {
                let others = transport.size() as u64 - 1;
                let (messages, sent) = match transport.all_gather(&message) {
                    Ok(received) => (
                        received.messages().map(<[u8]>::to_vec).collect(),
                        Ok(message.len() as u64 * others),
                    ),
                    Err(error) => (Vec::new(), Err(error)),
                };
                reply(answer, bytes_sent, sent, messages);
            }
        }
    }
}

/// Counts the bytes that a job sent to other processes, then sends its result.
fn reply<T>(answer: Answer<T>, bytes_sent: &AtomicU64, sent: Result<u64, CollectiveError>, result: T) {
    let result = sent.map(|bytes| {
        bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        result
    });
    // Nobody waits if the caller has dropped a `PendingSum`.
    let _ = answer.send(result);
}
