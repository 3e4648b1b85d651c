//! The activation between a batch norm and the next convolution.

use crate::{BinaryBackend, EvalMode, MaskedQuantizer};
use dfdx::{
    nn::{Module, NonMutableModule},
    shapes::Shape,
    tensor::Tensor,
};
use stompp_nn::{OpResult, Recording, ops};

/// The activation function in front of a convolution.
#[derive(Clone, Debug)]
pub enum Activation {
    /// The masked quantizer, which freezes (BNN).
    Quantized(MaskedQuantizer),
    /// `clip(u, -1, 1)`: a quantizer that stays open and never freezes.
    Clip(MaskedQuantizer),
    /// `max(u, 0)` (BWN, *paper's* networks with continuous activations).
    Relu,
}

impl Activation {
    /// The quantizer, if this activation takes part in freezing.
    pub fn quantizer(&self) -> Option<&MaskedQuantizer> {
        match self {
            Self::Quantized(quantizer) => Some(quantizer),
            Self::Clip(_) | Self::Relu => None,
        }
    }

    /// The quantizer for changing its state, if this activation takes part in freezing.
    pub fn quantizer_mut(&mut self) -> Option<&mut MaskedQuantizer> {
        match self {
            Self::Quantized(quantizer) => Some(quantizer),
            Self::Clip(_) | Self::Relu => None,
        }
    }

    /// Whether no gradient passes.
    pub fn blocks_gradient(&self) -> bool {
        self.quantizer().is_some_and(MaskedQuantizer::blocks_gradient)
    }

    /// Whether every output is -1 or +1 in `mode`.
    pub fn is_binary(&self, mode: EvalMode) -> bool {
        self.quantizer().is_some_and(|quantizer| quantizer.is_binary(mode))
    }

    /// Applies the activation in its current state. The result is on the tape unless [`Activation::blocks_gradient`].
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn forward<S: Shape, D: BinaryBackend, T: Recording<D>>(&self, u: Tensor<S, f32, D, T>) -> OpResult<S, D, T> {
        match self {
            Self::Quantized(quantizer) | Self::Clip(quantizer) => quantizer.forward(u),
            Self::Relu => ops::relu(u),
        }
    }

    /// Applies the activation off the tape.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn evaluate<S: Shape, D: BinaryBackend>(&self, u: Tensor<S, f32, D>, mode: EvalMode) -> OpResult<S, D> {
        match self {
            Self::Quantized(quantizer) => quantizer.evaluate(u, mode),
            Self::Clip(quantizer) => quantizer.forward(u),
            Self::Relu => ops::relu(u),
        }
    }
}

impl<S: Shape, D: BinaryBackend, T: Recording<D>> Module<Tensor<S, f32, D, T>> for Activation {
    type Output = Tensor<S, f32, D, T>;
    type Error = D::Err;

    /// As [`Activation::forward`].
    fn try_forward(&self, u: Tensor<S, f32, D, T>) -> Result<Self::Output, D::Err> {
        self.forward(u)
    }
}

impl NonMutableModule for Activation {}
