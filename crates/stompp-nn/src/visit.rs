//! Visiting a network's tensors by name. Optimizers, checkpoints, summaries and diagnostics use it.
//!
//! dfdx's own `TensorCollection` works only for sizes known at compile time and does not say what a tensor is for.
//! [`VisitTensors`] also works for sizes known at run time. Names are torchvision's `state_dict` names.

use dfdx::{
    shapes::Shape,
    tensor::{Storage, Tensor},
};
use std::ops::{Deref, DerefMut};

/// How a training loop treats a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorKind {
    /// Trained by gradient.
    Parameter {
        /// Whether training still changes it. Optimizers do not change a tensor with `false`.
        learning: bool,
        /// Optimizers clamp the entries to `[-bound, bound]` after every step. Only latent binary weights have a bound.
        bound: Option<f32>,
    },
    /// Updated from the data without a gradient, as running statistics are.
    Statistic,
}

impl TensorKind {
    /// A parameter that always learns and has no bound.
    pub const PARAMETER: Self = Self::Parameter {
        learning: true,
        bound: None,
    };
}

/// Something with named tensors: a layer or a network.
///
/// ```
/// use dfdx::prelude::*;
/// use std::convert::Infallible;
/// use stompp_nn::{TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, builder};
///
/// /// Counts parameters.
/// struct Count(usize);
/// impl<D: Storage<f32>> Visitor<D> for Count {
///     type Error = Infallible;
///     fn visit_tensor<S: Shape>(&mut self, _: &str, kind: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), Infallible> {
///         if kind != TensorKind::Statistic {
///             self.0 += tensor.shape().num_elements();
///         }
///         Ok(())
///     }
/// }
///
/// /// Fills weights with zeros.
/// struct Clear;
/// impl VisitorMut<Cpu> for Clear {
///     type Error = CpuError;
///     fn visit_tensor_mut<S: Shape>(&mut self, name: &str, _: TensorKind, mut tensor: TensorMut<'_, S, Cpu>) -> Result<(), CpuError> {
///         if name.ends_with("weight") { tensor.try_fill_with_zeros() } else { Ok(()) }
///     }
/// }
///
/// let mut fc = Cpu::default().build_module::<builder::Linear<4, 3>, f32>();
/// let mut count = Count(0);
/// fc.visit("fc.", &mut count)?;
/// assert_eq!(count.0, 4 * 3 + 3);
/// fc.visit_mut("fc.", &mut Clear)?;
/// assert_eq!(fc.weight.as_vec(), [0.0; 12]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait VisitTensors<D: Storage<f32>> {
    /// Calls `visitor` with every tensor, in a fixed order. Names begin with `prefix`.
    ///
    /// # Errors
    /// Returns the first error of `visitor`, which ends the visit.
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error>;

    /// As [`VisitTensors::visit`], with the same names in the same order, but `visitor` may write to the tensors.
    ///
    /// # Errors
    /// Returns the first error of `visitor`, which ends the visit.
    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error>;
}

/// Reads the tensors of a network.
pub trait Visitor<D: Storage<f32>> {
    /// The error that ends a visit early.
    type Error;

    /// Called once for each tensor, with its full name.
    ///
    /// # Errors
    /// An error ends the visit.
    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), Self::Error>;
}

/// Reads and writes the tensors of a network.
pub trait VisitorMut<D: Storage<f32>> {
    /// The error that ends a visit early.
    type Error;

    /// Called once for each tensor, with its full name.
    ///
    /// # Errors
    /// An error ends the visit.
    fn visit_tensor_mut<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: TensorMut<'_, S, D>,
    ) -> Result<(), Self::Error>;
}

/// A tensor of a network that may be written to.
///
/// It dereferences to the tensor. Borrowing it mutably drops the values that the layer has derived from it, such as packed
/// signs; reading does not.
pub struct TensorMut<'a, S: Shape, D: Storage<f32>> {
    tensor: &'a mut Tensor<S, f32, D>,
    drop_derived: Option<&'a mut dyn FnMut()>,
}

impl<'a, S: Shape, D: Storage<f32>> TensorMut<'a, S, D> {
    /// Wraps a tensor from which nothing is derived.
    pub fn new(tensor: &'a mut Tensor<S, f32, D>) -> Self {
        Self {
            tensor,
            drop_derived: None,
        }
    }

    /// Wraps a tensor whose layer keeps values derived from it. `drop_derived` drops them and is called before the tensor is written to.
    pub fn with_derived(tensor: &'a mut Tensor<S, f32, D>, drop_derived: &'a mut dyn FnMut()) -> Self {
        Self {
            tensor,
            drop_derived: Some(drop_derived),
        }
    }
}

impl<S: Shape, D: Storage<f32>> Deref for TensorMut<'_, S, D> {
    type Target = Tensor<S, f32, D>;

    fn deref(&self) -> &Self::Target {
        self.tensor
    }
}

impl<S: Shape, D: Storage<f32>> DerefMut for TensorMut<'_, S, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        if let Some(drop_derived) = &mut self.drop_derived {
            drop_derived();
        }
        self.tensor
    }
}
