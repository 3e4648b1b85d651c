//! Visiting a network's tensors by name: what optimizers, checkpoints, summaries and diagnostics are made of.
//!
//! dfdx's own `TensorCollection` serves layers whose sizes are known at compile time and does not say what a tensor is for;
//! this one also serves sizes known at run time. Names are torchvision's `state_dict` names.

use dfdx::{
    shapes::Shape,
    tensor::{Storage, Tensor},
};
use std::ops::{Deref, DerefMut};

/// What a tensor is to a training loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorKind {
    /// Trained by gradient.
    Parameter {
        /// Whether training still changes it. `false`: an optimizer leaves it alone.
        learning: bool,
        /// Keep entries in `[-bound, bound]` after every step. Latent binary weights, and only they, have a bound.
        bound: Option<f32>,
    },
    /// Follows the data without a gradient, as running statistics do.
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
    /// Shows every tensor to `visitor`, in a fixed order; names begin with `prefix`.
    ///
    /// # Errors
    /// The first error of `visitor`, which ends the visit.
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error>;

    /// As [`VisitTensors::visit`], with the same names in the same order, for writing.
    ///
    /// # Errors
    /// The first error of `visitor`, which ends the visit.
    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error>;
}

/// Reads the tensors of a network.
pub trait Visitor<D: Storage<f32>> {
    /// Why a visit ends early.
    type Error;

    /// Called once for each tensor, with its full name.
    ///
    /// # Errors
    /// Ends the visit.
    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), Self::Error>;
}

/// Reads and writes the tensors of a network.
pub trait VisitorMut<D: Storage<f32>> {
    /// Why a visit ends early.
    type Error;

    /// Called once for each tensor, with its full name.
    ///
    /// # Errors
    /// Ends the visit.
    fn visit_tensor_mut<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: TensorMut<'_, S, D>,
    ) -> Result<(), Self::Error>;
}

/// A tensor of a network that may be written to.
///
/// It dereferences to the tensor. Borrowing it mutably drops what the layer has derived from the tensor's values, such as packed
/// signs; reading does not.
pub struct TensorMut<'a, S: Shape, D: Storage<f32>> {
    tensor: &'a mut Tensor<S, f32, D>,
    drop_derived: Option<&'a mut dyn FnMut()>,
}

impl<'a, S: Shape, D: Storage<f32>> TensorMut<'a, S, D> {
    /// A tensor from which nothing is derived.
    pub fn new(tensor: &'a mut Tensor<S, f32, D>) -> Self {
        Self {
            tensor,
            drop_derived: None,
        }
    }

    /// A tensor whose layer keeps values derived from it. `drop_derived` drops them and is called before the tensor is written to.
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
