//! Access to a CUDA tensor's memory. Only this module has it.
//!
//! dfdx keeps a tensor's storage private, and none of its public functions lends the address without a copy. But `Debug` prints the
//! address, so this module reads it there and stops formatting as soon as it has it (2.3 us, no copy, no synchronization). The public
//! API has no other way. `dfdx` and `cudarc` are pinned to the exact releases for which this was checked, and
//! [`check_tensor_memory`] fails with releases that print something else.
#![allow(unsafe_code)]

use super::{gpu, on_gpu};
use crate::Backend;
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Cuda, CudaError, Tensor, TensorFromVec, ZerosTensor},
};
use std::fmt::{self, Debug, Write};
use stompp_cuda::{Floats, FloatsMut};

/// The elements of a contiguous tensor, in row-major order. A permuted one is not detected: ops make their inputs contiguous.
///
/// # Panics
/// If the tensor is broadcast.
pub(super) fn values<S: Shape>(tensor: &Tensor<S, f32, Cuda>) -> Floats<'_> {
    let (address, len) = memory(tensor);
    // SAFETY: address and length are those of the tensor's storage, as `check_tensor_memory` has tested. The borrow keeps the storage
    // alive. A writer must borrow the tensor mutably, so nobody writes to it now.
    unsafe { Floats::from_raw(address, len) }
}

/// Creates a tensor of zeros of shape `out`, then lets `fill` write it.
///
/// # Errors
/// Returns a [`CudaError`] if an allocation or a kernel launch fails.
pub(super) fn filled<Y: Shape>(
    device: &Cuda,
    out: Y,
    fill: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
) -> Result<Tensor<Y, f32, Cuda>, CudaError> {
    let span = on_gpu(|gpu| gpu.start_span(|| "zeroing of outputs".to_owned()))?;
    let mut y = device.try_zeros_like(&out)?;
    on_gpu(|gpu| gpu.end_span(span))?;
    // SAFETY: `y` is new, so its storage is not shared.
    fill(unsafe { values_mut(&mut y) })?;
    Ok(y)
}

/// Changes `tensor`: `fill` changes a copy of its values, which is then written back. Other tensors that share its storage do not
/// change.
pub(super) fn rewrite<S: Shape>(
    device: &Cuda,
    tensor: &mut Tensor<S, f32, Cuda>,
    fill: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
) -> Result<(), CudaError> {
    let mut fresh = device.acquire(tensor.shape().num_elements())?;
    on_gpu(|gpu| gpu.copy(values(tensor), FloatsMut::new(&mut fresh)))?;
    fill(FloatsMut::new(&mut fresh))?;
    // dfdx does not say whether storage is shared. Filling with zeros gives the tensor storage of its own.
    tensor.try_fill_with_zeros()?;
    // SAFETY: the storage is the tensor's own, see above.
    let out = unsafe { values_mut(tensor) };
    on_gpu(|gpu| gpu.copy(Floats::new(&fresh), out))?;
    device.release(fresh);
    Ok(())
}

/// The elements of a tensor that does not share its storage, for writing.
///
/// # Safety
/// No other tensor may share its storage.
///
/// # Panics
/// As [`values`].
unsafe fn values_mut<S: Shape>(tensor: &mut Tensor<S, f32, Cuda>) -> FloatsMut<'_> {
    let (address, len) = memory(tensor);
    // SAFETY: as in `values`; the caller guarantees that no other tensor shares this memory.
    unsafe { FloatsMut::from_raw(address, len) }
}

fn memory<S: Shape>(tensor: &Tensor<S, f32, Cuda>) -> (u64, usize) {
    let mut found = Found::default();
    // Formatting ends with an error as soon as everything is found.
    let _ = write!(found, "{tensor:?}");
    let (address, len) = found.both().expect("`check_tensor_memory` has found a tensor's memory");
    assert_eq!(len, tensor.shape().num_elements(), "the tensor is not contiguous");
    (address, len)
}

/// Finds the address and length of a slice in its `Debug` form while it is written.
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
        // A comma follows each of the two numbers.
        if part.contains(',') && self.both().is_some() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Checks that a tensor's memory is found, by writing and reading through it.
///
/// # Errors
/// Returns what was found instead.
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
        Some((_, len)) => return Err(format!("a tensor of 6 floats has the length {len}")),
        None => return Err("its `Debug` form has no address and length".to_owned()),
    }
    let mut doubled = device
        .try_tensor_from_vec(vec![0.0; 6], (2, 3))
        .map_err(|e| failed(&e))?;
    // SAFETY: `doubled` is new, so its storage is not shared.
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
