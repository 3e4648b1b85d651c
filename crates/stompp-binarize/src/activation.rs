//! What stands between a batch norm and the next convolution.

use crate::{BinaryBackend, MaskedQuantizer, View, batch_norm_quantize};
use dfdx::{
    shapes::{Dim, Shape},
    tensor::Tensor,
};
use stompp_nn::{BatchNorm2d, OpResult, Recording, ops};

/// The activation function in front of a convolution.
#[derive(Clone, Debug)]
pub enum Activation {
    /// The masked quantizer, which freezes (BNN).
    Quantized(MaskedQuantizer),
    /// `clip(u, -1, 1)`, for good: what the quantizer is while it is open.
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

    /// Whether no gradient at all passes.
    pub fn severs(&self) -> bool {
        self.quantizer().is_some_and(MaskedQuantizer::severs)
    }

    /// Whether every value that comes out is -1 or +1, seen by `view`.
    pub fn is_binary(&self, view: View) -> bool {
        self.quantizer().is_some_and(|quantizer| quantizer.is_binary(view))
    }

    /// Applies the activation as the network stands, on the tape unless [`Activation::severs`].
    ///
    /// # Errors
    /// The device's.
    pub fn forward<S: Shape, D: BinaryBackend, T: Recording<D>>(&self, u: Tensor<S, f32, D, T>) -> OpResult<S, D, T> {
        match self {
            Self::Quantized(quantizer) | Self::Clip(quantizer) => quantizer.forward(u),
            Self::Relu => ops::relu(u),
        }
    }

    /// Normalises a training batch, adds `residual`, and applies the activation: as [`BatchNorm2d::forward_with`],
    /// [`ops::add`] and [`Activation::forward`] one after the other, in one pass where that is faster.
    ///
    /// # Errors
    /// The device's.
    pub fn forward_norm<B: Dim, C: Dim, H: Dim, W: Dim, D: BinaryBackend, T: Recording<D>>(
        &self,
        x: Tensor<(B, C, H, W), f32, D, T>,
        norm: &mut BatchNorm2d<C, f32, D>,
        parameters: T,
        residual: Option<Tensor<(B, C, H, W), f32, D, T>>,
    ) -> OpResult<(B, C, H, W), D, T> {
        match self {
            Self::Quantized(quantizer) | Self::Clip(quantizer) => {
                batch_norm_quantize(x, norm, parameters, residual, quantizer.state(), quantizer.surrogate())
            }
            Self::Relu => {
                let y = norm.forward_with(x, parameters)?;
                ops::relu(match residual {
                    Some(residual) => ops::add(y, residual)?,
                    None => y,
                })
            }
        }
    }

    /// Applies the activation off the tape.
    ///
    /// # Errors
    /// The device's.
    pub fn evaluate<S: Shape, D: BinaryBackend>(&self, u: Tensor<S, f32, D>, view: View) -> OpResult<S, D> {
        match self {
            Self::Quantized(quantizer) => quantizer.evaluate(u, view),
            Self::Clip(quantizer) => quantizer.forward(u),
            Self::Relu => ops::relu(u),
        }
    }
}
