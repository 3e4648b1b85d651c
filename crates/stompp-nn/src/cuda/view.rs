//! The one place that finds a CUDA tensor's memory.
//!
//! dfdx keeps a tensor's storage private, and none of its public functions lends the address without a copy. But `Debug` prints
//! it, so it is read there, and formatting stops as soon as it has been (2.3 us, no copy, no synchronization). Odd, and the only
//! way that the public API leaves: `dfdx` and `cudarc` are pinned to the exact releases for which this was read, and
//! [`check_tensor_memory`] refuses to begin with any other.
#![allow(unsafe_code)]

use super::{gpu, on_gpu};
use crate::Backend;
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Cuda, CudaError, Tensor, TensorFromVec, ZerosTensor},
};
use std::fmt::{self, Debug, Write};
use stompp_cuda::{Floats, FloatsMut};

/// The elements of a contiguous tensor, in row-major order. A permuted one is not noticed here: ops make their inputs contiguous.
///
/// # Panics
/// If the tensor is broadcast.
pub(super) fn values<S: Shape>(tensor: &Tensor<S, f32, Cuda>) -> Floats<'_> {
    let (address, len) = memory(tensor);
    // SAFETY: the tensor's own memory, of as many floats as its storage has (both as `check_tensor_memory` has tested); the borrow keeps the
    // storage alive. Who writes to a tensor has it borrowed alone.
    unsafe { Floats::from_raw(address, len) }
}

/// A fresh tensor of shape `out` that `fill` has written.
///
/// # Errors
/// Returns `D::Err` if an allocation or a kernel fails.
pub(super) fn filled<Y: Shape>(
    device: &Cuda,
    out: Y,
    fill: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
) -> Result<Tensor<Y, f32, Cuda>, CudaError> {
    let span = on_gpu(|gpu| gpu.start_span(|| "zeroing of outputs".to_owned()))?;
    let mut y = device.try_zeros_like(&out)?;
    on_gpu(|gpu| gpu.end_span(span))?;
    // SAFETY: made in the line above.
    fill(unsafe { values_mut(&mut y) })?;
    Ok(y)
}

/// Writes `tensor` anew: `fill` gets its values and where the new ones go. Storage that is shared with another tensor is left to
/// that one.
pub(super) fn rewrite<S: Shape>(
    device: &Cuda,
    tensor: &mut Tensor<S, f32, Cuda>,
    fill: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
) -> Result<(), CudaError> {
    let mut fresh = device.acquire(tensor.shape().num_elements())?;
    on_gpu(|gpu| gpu.copy(values(tensor), FloatsMut::new(&mut fresh)))?;
    fill(FloatsMut::new(&mut fresh))?;
    // Whether storage is shared is dfdx's secret. Filling with zeros makes it the tensor's own.
    tensor.try_fill_with_zeros()?;
    // SAFETY: as just said.
    let out = unsafe { values_mut(tensor) };
    on_gpu(|gpu| gpu.copy(Floats::new(&fresh), out))?;
    device.release(fresh);
    Ok(())
}

/// The elements of a tensor that was made a moment ago, for writing.
///
/// # Safety
/// Its storage is shared with no other tensor.
///
/// # Panics
/// As [`values`].
unsafe fn values_mut<S: Shape>(tensor: &mut Tensor<S, f32, Cuda>) -> FloatsMut<'_> {
    let (address, len) = memory(tensor);
    // SAFETY: as in `values`; the borrow is the only way to this memory, by the caller's word.
    unsafe { FloatsMut::from_raw(address, len) }
}

fn memory<S: Shape>(tensor: &Tensor<S, f32, Cuda>) -> (u64, usize) {
    let mut found = Found::default();
    // Ends in an error when everything is found.
    let _ = write!(found, "{tensor:?}");
    let (address, len) = found.both().expect("`check_tensor_memory` has seen a tensor's memory");
    assert_eq!(len, tensor.shape().num_elements(), "the tensor is not contiguous");
    (address, len)
}

/// Address and length of a slice, as they pass by in its `Debug` form.
#[derive(Default)]
struct Found {
    text: String,
}

impl Found {
    fn both(&self) -> Option<(u64, usize)> {
        let after = |key: &str, text: &str| {
            let (_, rest) = text.split_once(key)?;
            let (number, rest) = rest.split_once(',')?;
            Some((number.parse::<u64>().ok()?, rest.to_owned()))
        };
        let (address, rest) = after("cu_device_ptr: ", &self.text)?;
        let (len, _) = after("len: ", &rest)?;
        Some((address, usize::try_from(len).ok()?))
    }
}

impl Write for Found {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.text.push_str(part);
        // Both are numbers that a comma follows.
        if part.contains(',') && self.both().is_some() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Makes sure that a tensor's memory is found: by writing and reading through it.
///
/// # Errors
/// What was found instead.
pub(super) fn check_tensor_memory(device: &Cuda) -> Result<(), String> {
    let numbers = vec![0.5, -2.0, 1e-3, 7.0, 4.0, -0.25];
    let failed = |error: &dyn Debug| format!("{error:?}");
    let tensor = device
        .try_tensor_from_vec(numbers.clone(), (2, 3))
        .map_err(|e| failed(&e))?;
    let mut found = Found::default();
    let _ = write!(found, "{tensor:?}");
    match found.both() {
        Some((_, 6)) => {}
        Some((_, len)) => return Err(format!("a tensor of 6 floats has {len}")),
        None => return Err("its `Debug` form does not tell".to_owned()),
    }
    let mut doubled = device
        .try_tensor_from_vec(vec![0.0; 6], (2, 3))
        .map_err(|e| failed(&e))?;
    // SAFETY: made in the line above.
    let out = unsafe { values_mut(&mut doubled) };
    gpu()
        .and_then(|gpu| gpu.add(values(&tensor), values(&tensor), out))
        .map_err(|e| failed(&e))?;
    let expected: Vec<f32> = numbers.iter().map(|x| 2.0 * x).collect();
    let read = doubled.as_vec();
    if read == expected && tensor.as_vec() == numbers {
        Ok(())
    } else {
        Err(format!("twice {numbers:?} reads as {read:?}"))
    }
}
