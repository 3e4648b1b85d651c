//! Values of the forward pass that the backward pass reads.

use crate::Backend;
use dfdx::{shapes::Shape, tensor::Tensor};
use std::{fmt::Debug, rc::Rc};

/// A value of the forward pass that can be computed again from what another backward step keeps. Keeping both would cost memory; computing
/// it again costs one pass over it.
///
/// Backward steps run in the reverse order of the ops. What the value is computed from must exist until the steps of the value's readers
/// have run: the step of the op that computed it may then use that memory for gradients.
pub trait Recompute<D: Backend>: Debug {
    /// Number of entries of the value.
    fn entries(&self) -> usize;

    /// Writes the value to `out`, with the bits that it had in the forward pass.
    ///
    /// # Errors
    /// Returns `D::Err` if a kernel launch fails.
    fn recompute(&self, device: &D, out: D::SliceMut<'_>) -> Result<(), D::Err>;
}

/// A result, and a way to compute its values again in the backward pass if there is one.
pub type Recomputable<S, D, T> = (Tensor<S, f32, D, T>, Option<Rc<dyn Recompute<D>>>);

/// What a backward step has of an op's input.
#[derive(Debug)]
pub enum Saved<S: Shape, D: Backend> {
    /// The tensor.
    Kept(Tensor<S, f32, D>),
    /// A way to compute its values again.
    Recomputed(Rc<dyn Recompute<D>>),
}

impl<S: Shape, D: Backend> Saved<S, D> {
    /// Saves `tensor`, or drops it if its values can be computed again.
    pub fn new(tensor: Tensor<S, f32, D>, recompute: Option<Rc<dyn Recompute<D>>>) -> Self {
        recompute.map_or(Self::Kept(tensor), Self::Recomputed)
    }

    /// Calls `read` with the values.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails, or the error of `read`.
    pub fn read<R>(&self, device: &D, read: impl FnOnce(D::Slice<'_>) -> Result<R, D::Err>) -> Result<R, D::Err> {
        match self {
            Self::Kept(tensor) => read(D::values(tensor)),
            Self::Recomputed(value) => {
                let mut buffer = device.acquire(value.entries())?;
                value.recompute(device, D::slice_mut(&mut buffer))?;
                let result = read(D::slice(&buffer));
                device.release(buffer);
                result
            }
        }
    }
}
