//! Walking over a network's tensors by name: what the optimizer, checkpoints, summaries and diagnostics are made of.
//!
//! dfdx's own walker (`TensorCollection`) serves layers whose sizes are known at compile time and keeps no role for a
//! tensor; this one also serves sizes known at run time. Names are torchvision's `state_dict` names.

use dfdx::{
    shapes::Shape,
    tensor::{Storage, Tensor},
};

/// What a tensor is to a training loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// Trained by gradient.
    Parameter {
        /// Whether training still changes it: `false` once nothing may move it any more.
        learning: bool,
        /// Keep entries in `[-bound, bound]` after every step.
        bound: Option<f32>,
    },
    /// Follows the data without a gradient, as running statistics do.
    Statistic,
}

impl Role {
    /// A parameter that always learns and has no bound.
    pub const PARAMETER: Self = Self::Parameter {
        learning: true,
        bound: None,
    };
}

/// Something done to every tensor of a network.
pub trait Visitor<D: Storage<f32>> {
    /// Why the walk ends early.
    type Error;

    /// Called once for each tensor, in a fixed order, with its full name.
    ///
    /// # Errors
    /// Ends the walk.
    fn visit<S: Shape>(&mut self, name: &str, role: Role, tensor: &mut Tensor<S, f32, D>) -> Result<(), Self::Error>;

    /// Whether [`Visitor::visit`] may change a tensor of this role. If so, a layer forgets what it has derived from it, such as
    /// packed bits.
    fn changes(&self, role: Role) -> bool {
        let _ = role;
        true
    }
}

/// Something with named tensors.
pub trait Walk<D: Storage<f32>> {
    /// Visits every tensor; names begin with `prefix`.
    ///
    /// # Errors
    /// The visitor's.
    fn walk<V: Visitor<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error>;
}
