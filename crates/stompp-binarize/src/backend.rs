//! What a device must provide for binarization, on top of [`Backend`].

use crate::{FreezeState, Surrogate};
use dfdx::{shapes::Shape, tensor::Tensor};
use stompp_kernels::ConvShape;
use stompp_nn::{Backend, backend::Buffer};

/// A device with the kernels of the masked quantizer and of the committed convolution.
///
/// A mask covers `period` entries and repeats over the tensor: `C * H * W` for activations, whose mask is shared over the
/// batch, and the whole tensor for weights.
pub trait BinaryBackend: Backend {
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

    /// Convolution of a binary input with a binary weight, every entry of both -1 or +1, padded with zeros: exactly
    /// [`Backend::conv2d`], whose sums are integers then, by whatever is fastest for the shape.
    ///
    /// # Errors
    /// The device's.
    fn binary_conv2d<X: Shape, W: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, Self::Err>;
}
