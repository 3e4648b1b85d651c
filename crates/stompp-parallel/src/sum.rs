//! Exact sums over processes: each process adds a part of the values of all processes, in pairs, and sends it to the others.
//!
//! Each process sends every value twice at most, as the ring algorithm does, and each addition is done once.

use crate::CollectiveError;
use crate::transport::{Received, Transport};
use bytemuck::allocation::pod_collect_to_vec;
use bytemuck::{Pod, cast_slice, cast_slice_mut, try_cast_slice};
use std::borrow::Cow;
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
        let received = transport.all_gather(cast_slice(values))?;
        values.copy_from_slice(&total(&received, values.len())?);
        return Ok((bytes * (size - 1)) as u64);
    }
    let part = values.len().div_ceil(size);
    let mut lengths: Vec<usize> = values.chunks(part).map(size_of_val).collect();
    lengths.resize(size, 0);
    let own = lengths[transport.rank()];
    let received = transport.all_to_all(cast_slice(values), &lengths)?;
    let sums = total::<T>(&received, own / size_of::<T>())?.into_owned();
    let all = transport.all_gather(cast_slice(&sums))?;
    if let Some(rank) = all
        .lengths
        .iter()
        .zip(&lengths)
        .position(|(found, expected)| found != expected)
    {
        return Err(CollectiveError::Mismatch { rank });
    }
    cast_slice_mut(values).copy_from_slice(&all.bytes);
    Ok((bytes - own + own * (size - 1)) as u64)
}

/// Adds the `len` values of each process, in pairs.
fn total<T: Pod + Add<Output = T>>(received: &Received, len: usize) -> Result<Cow<'_, [T]>, CollectiveError> {
    let bytes = len * size_of::<T>();
    if let Some(rank) = received.lengths.iter().position(|&length| length != bytes) {
        return Err(CollectiveError::Mismatch { rank });
    }
    let values = |message| match try_cast_slice(message) {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(pod_collect_to_vec(message)), // Not aligned.
    };
    Ok(add_in_pairs(&mut received.messages().map(values).collect::<Vec<_>>()))
}

/// Adds neighbours, then neighbouring sums, and so on.
fn add_in_pairs<'a, T: Pod + Add<Output = T>>(summands: &mut [Cow<'a, [T]>]) -> Cow<'a, [T]> {
    if let [sum] = summands {
        return std::mem::take(sum);
    }
    let (first, second) = summands.split_at_mut(summands.len().next_power_of_two() / 2);
    let (first, second) = (add_in_pairs(first), add_in_pairs(second));
    first.iter().zip(&*second).map(|(&a, &b)| a + b).collect()
}
