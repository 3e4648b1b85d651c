//! Devices that are ready for training, and data on them.

use crate::{Backend, OpResult};
use dfdx::{
    shapes::Shape,
    tensor::{Cache, Cpu},
};

/// The CPU, with dfdx's cache of allocations switched on. A training step asks for the same sizes as the one before; from the system
/// they would come page by page, which takes 10 to 25 % of a step's time. (A GPU comes from `cuda::open`.)
///
/// Whatever a tensor's memory was, it enters the cache when the tensor is dropped. Make tensors of data by [`tensor`], which takes
/// memory from the cache: dfdx's own `tensor_from_vec` keeps the `Vec`, and the cache would grow by it with each batch.
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

/// A tensor with a copy of `values`, row-major, in memory of the device's own.
///
/// # Errors
/// Returns `D::Err` if an allocation fails.
///
/// # Panics
/// If there are not as many values as the shape has entries.
pub fn tensor<S: Shape, D: Backend>(device: &D, values: &[f32], shape: S) -> OpResult<S, D> {
    let mut tensor = device.try_zeros_like(&shape)?;
    tensor.copy_from(values);
    Ok(tensor)
}
