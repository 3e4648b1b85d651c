//! The convolution whose weight freezes.

use crate::{BinaryBackend, MaskedQuantizer, Surrogate, View};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{PutTape, Tensor},
};
use stompp_nn::{Conv2d, Image, OpResult, Recording, Role, Visitor, Walk, ops};

/// A convolution with a latent weight and the quantizer that freezes it: (N, I, H, W) to (N, O, H', W').
///
/// Once its weight is committed and its input is binary, the convolution is one of signs, which the device computes by XNOR
/// and popcount where that is faster; the result is the same, bit for bit.
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

    /// Convolves `x` with the weight as it stands; the latent weight is on the tape `parameters`. `x_is_binary` says that every
    /// entry of `x` is -1 or +1.
    ///
    /// # Errors
    /// The device's.
    pub fn forward_with<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &self,
        x: Tensor<(B, I, H, W), f32, D, T>,
        x_is_binary: bool,
        parameters: T,
    ) -> OpResult<Image<B, O>, D, T> {
        let weight = self
            .quantizer
            .forward(self.latent.weight.clone().put_tape(parameters))?;
        self.convolve(x, weight, x_is_binary && self.quantizer.is_binary(View::AsItStands))
    }

    /// Convolves `x` off the tape, with the weight as it stands or as it would be deployed.
    ///
    /// # Errors
    /// The device's.
    pub fn evaluate<B: Dim, H: Dim, W: Dim>(
        &self,
        x: Tensor<(B, I, H, W), f32, D>,
        x_is_binary: bool,
        view: View,
    ) -> OpResult<Image<B, O>, D> {
        let weight = self.quantizer.evaluate(self.latent.weight.clone(), view)?;
        self.convolve(x, weight, x_is_binary && self.quantizer.is_binary(view))
    }

    fn convolve<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &self,
        x: Tensor<(B, I, H, W), f32, D, T>,
        weight: Tensor<(O, I, K, K), f32, D, T>,
        binary: bool,
    ) -> OpResult<Image<B, O>, D, T> {
        let (stride, padding) = (self.latent.stride.size(), self.latent.padding.size());
        if binary {
            ops::conv2d_by(x, weight, stride, padding, |shape, x, w, out| {
                x.device().binary_conv2d(shape, x, w, out)
            })
        } else {
            ops::conv2d(x, weight, stride, padding)
        }
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
