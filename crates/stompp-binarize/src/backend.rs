//! What a device must provide for binarization, on top of [`Backend`].

use crate::{FreezeState, NormQuantize, NormQuantizeGradients, Refresher, Surrogate};
use dfdx::{
    shapes::{Dim, Shape},
    tensor::Tensor,
};
use std::fmt::Debug;
use stompp_kernels::ConvShape;
use stompp_nn::{Backend, backend::Buffer};

/// A device with the kernels of the masked quantizer and of the committed convolution.
///
/// A mask covers `period` entries and repeats over the tensor: `C * H * W` for activations, whose mask is shared over the
/// batch, and the whole tensor for weights.
pub trait BinaryBackend: Backend + Refresher {
    /// `M * sign(u) + (1 - M) * clip(u, -1, 1)`.
    ///
    /// # Errors
    /// The device's.
    fn quantize<S: Shape>(
        &self,
        state: &FreezeState,
        period: usize,
        u: &Tensor<S, f32, Self>,
    ) -> Result<Tensor<S, f32, Self>, Self::Err>;

    /// Adds the quantizer's gradient to `gu`: open entries pass it where `|u| <= 1`, frozen ones by the surrogate.
    ///
    /// # Errors
    /// The device's.
    fn quantize_backward<S: Shape>(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: &Tensor<S, f32, Self>,
        gout: &Buffer<Self>,
        gu: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// Batch norm of `x`, plus `residual`, quantized; all (N, C, H, W), `out` says so. The mask covers a sample.
    ///
    /// # Errors
    /// The device's.
    fn norm_quantize<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, Self::Err>;

    /// The gradients of [`BinaryBackend::norm_quantize`], through the batch's own moments.
    ///
    /// # Errors
    /// The device's.
    fn norm_quantize_backward<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        gout: &Buffer<Self>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// The signs of a weight, ready for [`BinaryBackend::sign_conv2d`].
    type Signs: 'static + Clone + Debug;

    /// The signs of `w` (O, I, K, K), with `sign(0) = sign(-0) = +1`.
    ///
    /// # Errors
    /// The device's.
    fn signs<O: Dim, I: Dim, K: Dim>(&self, w: &Tensor<(O, I, K, K), f32, Self>) -> Result<Self::Signs, Self::Err>;

    /// Convolution of the signs of `x` with those of a weight, padded with zeros: where every entry of `x` is -1 or +1, exactly
    /// [`Backend::conv2d`], whose sums are integers then, by whatever is fastest for the shape.
    ///
    /// # Errors
    /// The device's.
    fn sign_conv2d<X: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Self::Signs,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, Self::Err>;

    /// As [`BinaryBackend::sign_conv2d`], into a buffer of the output's length.
    ///
    /// # Errors
    /// The device's.
    fn sign_conv2d_into<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Self::Signs,
        out: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;
}
