//! A thread that prepares its share of the batches. **It ends when it is done or its receiver is dropped; it never hangs.**

use super::{Batch, BatchPlan, Position};
use crate::{DataError, Examples};
use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Capacity of a worker's channel, in batches.
const AHEAD: usize = 2;

/// The consumer's end of a worker.
#[derive(Debug)]
pub(super) struct Worker {
    /// `None` once the worker was told to stop.
    batches: Option<Receiver<Result<Batch, DataError>>>,
    /// `None` once it has stopped.
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker on the batch at `first` and every `stride`-th one after it.
    pub(super) fn spawn<E: Examples + ?Sized + 'static>(
        examples: Arc<E>,
        plan: BatchPlan,
        first: Option<Position>,
        stride: usize,
    ) -> Result<Self, DataError> {
        let (sender, receiver) = sync_channel(AHEAD);
        let work = move || {
            let mut next = first;
            let mut order = first.map(|position| (position.epoch, plan.order(position.epoch)));
            while let Some(position) = next {
                let order = match &mut order {
                    Some((epoch, order)) if *epoch == position.epoch => order,
                    outdated => &mut outdated.insert((position.epoch, plan.order(position.epoch))).1,
                };
                let batch = prepare(&*examples, position, order[plan.range(position.batch)].to_vec());
                let batch = batch.and_then(|batch| plan.accept(batch));
                if sender.send(batch).is_err() {
                    break;
                }
                next = plan.advance(position, stride);
            }
        };
        let thread = Builder::new().name("stompp-data".to_owned()).spawn(work);
        Ok(Self {
            batches: Some(receiver),
            thread: Some(thread.map_err(|source| DataError::Spawn { source })?),
        })
    }

    /// Waits for the next batch, and returns `None` if there are no more. A panic of the worker is returned as an error.
    pub(super) fn receive(&mut self) -> Option<Result<Batch, DataError>> {
        if let Some(Ok(batch)) = self.batches.as_ref().map(Receiver::recv) {
            return Some(batch);
        }
        let panic = self.stop().err()?;
        let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        Some(Err(DataError::WorkerPanicked {
            message: message.unwrap_or_else(|| "no message".to_owned()),
        }))
    }

    /// Stops the worker and waits for it. The error is the panic that ended it.
    fn stop(&mut self) -> Result<(), Box<dyn Any + Send>> {
        // Without a receiver, a send fails, including one that is blocked.
        self.batches = None;
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A panic is ignored here: its batch is no longer needed.
        let _ = self.stop();
    }
}

/// Prepares the batch of these records. Skipped records are left out.
fn prepare(
    examples: &(impl Examples + ?Sized),
    position: Position,
    mut indices: Vec<usize>,
) -> Result<Batch, DataError> {
    let [channels, height, width] = examples.shape();
    let image_len = channels * height * width;
    let mut images = vec![0.0; indices.len() * image_len];
    let mut labels = Vec::with_capacity(indices.len());
    for place in 0..indices.len() {
        // Behind the images already in the batch.
        let (index, at) = (indices[place], labels.len());
        let image = &mut images[at * image_len..][..image_len];
        if let Some(label) = examples.prepare(position.epoch, index, image)? {
            indices[at] = index;
            labels.push(label);
        }
    }
    indices.truncate(labels.len());
    images.truncate(labels.len() * image_len);
    Ok(Batch {
        position,
        shape: [labels.len(), channels, height, width],
        images,
        labels,
        indices,
    })
}
