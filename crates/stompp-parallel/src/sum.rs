//! Exact sums over processes: each process adds a part of the values of all processes, in pairs, and sends it to the others.
//!
//! Each process sends every value twice at most, as the ring algorithm does, and each addition is done once.

use crate::CollectiveError;
use crate::transport::Transport;
use bytemuck::allocation::pod_collect_to_vec;
use bytemuck::{Pod, cast_slice};
use std::ops::Add;

/// Up to this size in bytes each process gets the values of all processes, because one round of messages is faster than two.
const SMALL: usize = 8 << 10;

/// Replaces `values` by the sum over all processes, in pairs. Returns the number of bytes that this process sent.
///
/// # Errors
/// The errors of the transport, and [`CollectiveError::Mismatch`] if another process has another number of values.
pub(crate) fn sum_in_pairs<T: Pod + Add<Output = T>>(
    transport: &mut impl Transport,
    values: &mut [T],
) -> Result<u64, CollectiveError> {
    let (size, bytes) = (transport.size(), size_of_val(values));
    if bytes * size <= SMALL {
        let messages = transport.all_gather(cast_slice(values))?;
        values.copy_from_slice(&total(messages, values.len())?);
        return Ok((bytes * (size - 1)) as u64);
    }
    let part = values.len().div_ceil(size);
    let mut parts: Vec<&[u8]> = values.chunks(part).map(cast_slice).collect();
    parts.resize(size, &[]);
    let own = parts[transport.rank()].len() / size_of::<T>();
    let received = transport.all_to_all(&parts)?;
    let sums: Vec<T> = total(received, own)?;
    let all = transport.all_gather(cast_slice(&sums))?;
    for (rank, (part, sums)) in values.chunks_mut(part).zip(all).enumerate() {
        if sums.len() != size_of_val(part) {
            return Err(CollectiveError::Mismatch { rank });
        }
        part.copy_from_slice(&pod_collect_to_vec::<u8, T>(&sums));
    }
    Ok((bytes - own * size_of::<T>() + own * size_of::<T>() * (size - 1)) as u64)
}

/// Adds the `len` values of each process, in pairs.
fn total<T: Pod + Add<Output = T>>(messages: Vec<Vec<u8>>, len: usize) -> Result<Vec<T>, CollectiveError> {
    let mut summands = Vec::with_capacity(messages.len());
    for (rank, message) in messages.into_iter().enumerate() {
        if message.len() != len * size_of::<T>() {
            return Err(CollectiveError::Mismatch { rank });
        }
        summands.push(pod_collect_to_vec::<u8, T>(&message));
    }
    while summands.len() > 1 {
        let mut pairs = summands.into_iter();
        let mut sums = Vec::new();
        while let (Some(mut a), b) = (pairs.next(), pairs.next()) {
            for (a, b) in a.iter_mut().zip(b.unwrap_or_default()) {
                *a = *a + b;
            }
            sums.push(a);
        }
        summands = sums;
    }
    Ok(summands.pop().unwrap_or_default())
}
