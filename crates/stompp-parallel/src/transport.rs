//! The messages that sums are made of.

use crate::CollectiveError;

/// A way to send bytes between the processes of a group. Every process calls the same functions in the same order.
pub(crate) trait Transport {
    fn rank(&self) -> usize;

    fn size(&self) -> usize;

    /// Sends `parts[rank]` to each process. Returns what each process sent to this one, by rank.
    fn all_to_all(&mut self, parts: &[&[u8]]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Sends `message` to each process. Returns the messages of all processes, by rank.
    fn all_gather(&mut self, message: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Replaces `values` by their sum over all processes, in any order.
    fn sum_in_any_order(&mut self, values: &mut [f32]) -> Result<(), CollectiveError>;
}
