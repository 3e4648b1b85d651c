//! What a device must provide for binarization, on top of [`Backend`], and the types that it meets.

use crate::{FreezeState, Surrogate};
pub use crate::{
    mask::{DeviceMask, FreezingMask, Refresher},
    unit::{NormQuantize, NormQuantizeGradients},
};
use std::fmt::Debug;
use stompp_kernels::ConvShape;
use stompp_nn::Backend;

/// A device with the kernels of the masked quantizer and of the committed convolution.
///
/// A mask covers `period` entries and repeats over the tensor: `C * H * W` for activations, whose mask is shared over the
/// batch, and the whole tensor for weights.
///
/// # Errors
/// Every method fails with the device's own error, as those of [`Backend`].
pub trait BinaryBackend: Backend + Refresher {
    /// `out = M * sign(u) + (1 - M) * clip(u, -1, 1)`.
    ///
    /// # Errors
    /// Returns `D::Err` if a kernel fails.
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
    /// Returns `D::Err` if a kernel fails.
    fn quantize_backward(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: Self::Slice<'_>,
        gout: Self::Slice<'_>,
        gu: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Batch norm of `x`, plus `residual`, quantized; all (N, C, H, W). The mask covers a sample.
    ///
    /// # Errors
    /// Returns `D::Err` if a kernel fails.
    fn norm_quantize(
        &self,
        of: &NormQuantize<'_, Self>,
        x: Self::Slice<'_>,
        residual: Option<Self::Slice<'_>>,
        out: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// The gradients of [`BinaryBackend::norm_quantize`], through the batch's own moments.
    ///
    /// # Errors
    /// Returns `D::Err` if a kernel fails.
    fn norm_quantize_backward(
        &self,
        of: &NormQuantize<'_, Self>,
        x: Self::Slice<'_>,
        residual: Option<Self::Slice<'_>>,
        gout: Self::Slice<'_>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// The signs of a weight, ready for [`BinaryBackend::sign_conv2d`].
    type Signs: 'static + Clone + Debug;

    /// The signs of a weight `w` (`outputs`, `inputs`, `kernel`, `kernel`), with `sign(0) = sign(-0) = +1`.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel fails.
    fn signs(&self, outputs: usize, inputs: usize, kernel: usize, w: Self::Slice<'_>)
    -> Result<Self::Signs, Self::Err>;

    /// Convolution of the signs of `x` with those of a weight, padded with zeros: where every entry of `x` is -1 or +1, exactly
    /// [`Backend::conv2d`], whose sums are integers then, by whatever is fastest for the shape.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel fails.
    fn sign_conv2d(
        &self,
        shape: &ConvShape,
        x: Self::Slice<'_>,
        w: &Self::Signs,
        y: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;
}
