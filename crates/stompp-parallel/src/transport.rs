//! The messages that sums are made of.

use crate::CollectiveError;
use std::borrow::Borrow;

/// What all processes sent to this one, one message after the other, by rank.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// The length of each message.
    pub(crate) lengths: Vec<usize>,
}

impl Received {
    /// One message after the other.
    pub(crate) fn from_messages(messages: &[impl Borrow<[u8]>]) -> Self {
        Self {
            lengths: messages.iter().map(|message| message.borrow().len()).collect(),
            bytes: messages.concat(),
        }
    }

    /// The message of each process.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        self.lengths.iter().map(move |&length| {
            let (message, others) = rest.split_at(length);
            rest = others;
            message
        })
    }
}

/// A way to send bytes between the processes of a group. Every process calls the same functions in the same order.
pub(crate) trait Transport {
    fn rank(&self) -> usize;

    fn size(&self) -> usize;

    /// Sends the next `lengths[rank]` bytes of `bytes` to each process. Returns what each process sent to this one.
    fn all_to_all(&mut self, bytes: &[u8], lengths: &[usize]) -> Result<Received, CollectiveError>;

    /// Sends `message` to each process. Returns the messages of all processes.
    fn all_gather(&mut self, message: &[u8]) -> Result<Received, CollectiveError>;

    /// Replaces `values` by their sum over all processes, in any order.
    fn sum_in_any_order(&mut self, values: &mut [f32]) -> Result<(), CollectiveError>;
}
