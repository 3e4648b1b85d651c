//! The convolution whose weight freezes.

use crate::{BinaryBackend, MaskedQuantizer, Surrogate, View};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{PutTape, Tensor},
};
use stompp_nn::{Conv2d, Image, OpResult, Recording, Role, Visitor, Walk, ops};

/// A convolution with a latent weight and the quantizer that freezes it: (N, I, H, W) to (N, O, H', W').
///
/// The convolution reads `M * sign(w) + (1 - M) * clip(w, -1, 1)` of the latent weight `w`. Zero padding pads the input,
/// which is quantized already, with 0 (*ours*). After each optimizer step latent weights are kept in [-1, 1] (*ours*): the
/// walk says so by its [`Role`].
#[derive(Clone, Debug)]
pub struct BinaryConv2d<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> {
    /// The latent weight and the geometry.
    pub latent: Conv2d<I, O, K, S, P, f32, D>,
    /// What of the weight is frozen.
    pub quantizer: MaskedQuantizer,
}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> BinaryConv2d<I, O, K, S, P, D> {
    /// Makes a convolution's weight freezable; open at first.
    pub fn new(latent: Conv2d<I, O, K, S, P, f32, D>, surrogate: Surrogate) -> Self {
        let quantizer = MaskedQuantizer::new(latent.weight.shape().num_elements(), surrogate);
        Self { latent, quantizer }
    }

    /// Convolves `x` with the weight as it stands; the latent weight is on the tape `parameters`.
    ///
    /// # Errors
    /// The device's.
    pub fn forward_with<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &self,
        x: Tensor<(B, I, H, W), f32, D, T>,
        parameters: T,
    ) -> OpResult<Image<B, O>, D, T> {
        let weight = self
            .quantizer
            .forward(self.latent.weight.clone().put_tape(parameters))?;
        ops::conv2d(x, weight, self.latent.stride.size(), self.latent.padding.size())
    }

    /// Convolves `x` off the tape, with the weight as it stands or as it would be deployed.
    ///
    /// # Errors
    /// The device's.
    pub fn evaluate<B: Dim, H: Dim, W: Dim>(
        &self,
        x: Tensor<(B, I, H, W), f32, D>,
        view: View,
    ) -> OpResult<Image<B, O>, D> {
        let weight = self.quantizer.evaluate(self.latent.weight.clone(), view)?;
        ops::conv2d(x, weight, self.latent.stride.size(), self.latent.padding.size())
    }
}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: BinaryBackend> Walk<D> for BinaryConv2d<I, O, K, S, P, D> {
    fn walk<V: Visitor<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        // A committed weight that gets no gradient has stopped: momentum must not move it either.
        let role = Role::Parameter {
            learning: !self.quantizer.severs(),
            bound: Some(1.0),
        };
        visitor.visit(&format!("{prefix}weight"), role, &mut self.latent.weight)
    }
}
