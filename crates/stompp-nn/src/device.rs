//! Devices that are ready for training, and data on them.

use crate::{Backend, OpResult};
use dfdx::{
    shapes::Shape,
    tensor::{Cache, Cpu},
};

/// Returns the CPU, with dfdx's cache of allocations switched on. (`cuda::open` returns a GPU.) A training step allocates the same
/// sizes as the one before. Without the cache the system would map them page by page, which takes 10 to 25 % of a step's time.
///
/// The memory of a dropped tensor always enters the cache. Create tensors of data with [`tensor`], which uses memory of the cache.
/// dfdx's own `tensor_from_vec` keeps the `Vec`, so the cache would grow with each batch.
///
/// ```
/// use dfdx::prelude::*;
///
/// let dev = stompp_nn::cpu();
/// for step in 0..3 {
///     let batch = vec![step as f32; 2 * 3 * 8 * 8];
///     let images = stompp_nn::tensor(&dev, &batch, (2, 3, 8, 8))?;
///     assert_eq!(images.as_vec(), batch);
/// }
/// # Ok::<(), CpuError>(())
/// ```
pub fn cpu() -> Cpu {
    let device = Cpu::default();
    device.enable_cache();
    device
}

/// Creates a tensor with a copy of `values` (row-major), in memory that the device allocates.
///
/// # Errors
/// Returns `D::Err` if an allocation fails.
///
/// # Panics
/// If the number of values differs from the number of entries of `shape`.
pub fn tensor<S: Shape, D: Backend>(device: &D, values: &[f32], shape: S) -> OpResult<S, D> {
    let mut tensor = device.try_zeros_like(&shape)?;
    tensor.copy_from(values);
    Ok(tensor)
}
