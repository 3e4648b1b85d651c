//! The trait that a device must implement for binarization, on top of [`Backend`], and the types in its methods.

use crate::{FreezeState, Surrogate};
pub use crate::{
    mask::{DeviceMask, FreezingMask, Refresher},
    unit::{NormQuantize, NormQuantizeGradients},
};
use std::fmt::Debug;
use stompp_kernels::ConvShape;
use stompp_nn::{Backend, backend::Buffer};

/// A device with the kernels of the masked quantizer and of the committed convolution.
///
/// A mask covers `period` entries and repeats over the tensor: `C * H * W` for activations, whose mask is shared over the
/// batch, and the whole tensor for weights.
///
/// # Errors
/// Methods return the device's own error, as those of [`Backend`].
pub trait BinaryBackend: Backend + Refresher {
    /// `out = M * sign(u) + (1 - M) * clip(u, -1, 1)`.
    ///
    /// # Errors
    /// Returns `Self::Err` if a kernel launch fails.
    fn quantize(
        &self,
        state: &FreezeState,
        period: usize,
        u: Self::Slice<'_>,
        out: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Adds the quantizer's gradient to `gu`: open entries pass it where `|u| <= 1`, frozen ones by the surrogate.
    ///
    /// # Errors
    /// Returns `Self::Err` if a kernel launch fails.
    fn quantize_backward(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: Self::Slice<'_>,
        gout: Self::Slice<'_>,
        gu: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Quantizes the sum of `residual` and the batch norm of `x`; all are (N, C, H, W). The mask covers one sample.
    ///
    /// # Errors
    /// Returns `Self::Err` if a kernel launch fails.
    fn norm_quantize(
        &self,
        op: &NormQuantize<'_, Self>,
        x: Self::Slice<'_>,
        residual: Option<Self::Slice<'_>>,
        out: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Computes the gradients of [`BinaryBackend::norm_quantize`], which include the derivatives of the batch's moments. Replaces `x` by
    /// its gradient: nothing reads it afterwards. On the CPU this needs no more memory.
    ///
    /// # Errors
    /// Returns `Self::Err` if an allocation or a kernel launch fails.
    fn norm_quantize_backward(
        &self,
        op: &NormQuantize<'_, Self>,
        x: &mut Buffer<Self>,
        residual: Option<Self::Slice<'_>>,
        gout: Self::Slice<'_>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// The packed signs of a weight, for [`BinaryBackend::sign_conv2d`].
    type Signs: 'static + Clone + Debug;

    /// Packs the signs of a weight `w` (`outputs`, `inputs`, `kernel`, `kernel`), with `sign(0) = sign(-0) = +1`.
    ///
    /// # Errors
    /// Returns `Self::Err` if an allocation or a kernel launch fails.
    fn signs(&self, outputs: usize, inputs: usize, kernel: usize, w: Self::Slice<'_>)
    -> Result<Self::Signs, Self::Err>;

    /// Convolves the signs of `x` with those of a weight, padded with zeros, in the fastest way for the shape. If every entry of `x` is
    /// -1 or +1, the result is exactly that of [`Backend::conv2d`], because all sums are integers.
    ///
    /// # Errors
    /// Returns `Self::Err` if an allocation or a kernel launch fails.
    fn sign_conv2d(
        &self,
        shape: &ConvShape,
        x: Self::Slice<'_>,
        w: &Self::Signs,
        y: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;
}
