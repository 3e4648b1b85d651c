//! The trait that a device must implement. Another device can be added without a change to any layer.
//!
//! Each method is one kernel call on slices of the device's memory. Tensors and buffers both lend such slices. Methods named
//! `..._gradient` or `..._backward` **accumulate** into their outputs, as dfdx's own kernels do; everything else overwrites them.

use crate::BatchReduction;
use dfdx::{
    shapes::Shape,
    tensor::{Cache, Storage, Tensor},
    tensor_ops::Device,
};
use std::fmt::Debug;
pub use stompp_kernels::{AdamStep, SgdStep};
use stompp_kernels::{ChannelShape, ConvShape, PoolShape, Slices};

/// A device's raw storage, such as a gradient.
pub type Buffer<D> = <D as Storage<f32>>::Vec;

/// The moments of one batch, one entry per channel.
#[derive(Debug)]
pub struct BatchMoments<D: Storage<f32>> {
    /// Mean.
    pub mean: Buffer<D>,
    /// Biased variance.
    pub variance: Buffer<D>,
    /// `1 / sqrt(variance + eps)`.
    pub inv_std: Buffer<D>,
}

/// Sizes of a fully connected layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows of the input.
    pub batch: usize,
    /// Features of the input.
    pub inputs: usize,
    /// Features of the output.
    pub outputs: usize,
}

/// The gradients that batch norm's backward pass adds to.
#[derive(Debug)]
pub struct BatchNormGradients<'a, D: Backend> {
    /// Gradient of the input; `None` if it is not needed.
    pub input: Option<D::SliceMut<'a>>,
    /// Gradient of the scale, shape (C,).
    pub scale: D::SliceMut<'a>,
    /// Gradient of the shift, shape (C,).
    pub shift: D::SliceMut<'a>,
}

/// The gradients that a linear layer's backward pass adds to.
#[derive(Debug)]
pub struct LinearGradients<'a, D: Backend> {
    /// Gradient of the input; `None` if it is not needed.
    pub input: Option<D::SliceMut<'a>>,
    /// Gradient of the weight, shape (O, I).
    pub weight: D::SliceMut<'a>,
    /// Gradient of the bias, shape (O,).
    pub bias: D::SliceMut<'a>,
}

/// A dfdx device with the kernels of this crate's ops. Values are row-major, images NCHW.
///
/// # Errors
/// Methods return the device's own error if an allocation or a kernel launch fails, as dfdx's ops do.
///
/// # Panics
/// Kernels panic if the length of a slice does not match the sizes.
pub trait Backend: Device<f32> + Cache {
    /// Floats in the device's memory, for reading.
    type Slice<'a>: Copy + Debug;

    /// Floats in the device's memory, for writing.
    type SliceMut<'a>: Debug;

    /// The values of a tensor.
    ///
    /// # Panics
    /// If the tensor is not contiguous (permuted, sliced or broadcast): call dfdx's `try_contiguous` first.
    fn values<S: Shape>(tensor: &Tensor<S, f32, Self>) -> Self::Slice<'_>;

    /// The values of a buffer.
    fn slice(buffer: &Buffer<Self>) -> Self::Slice<'_>;

    /// The values of a buffer, for writing.
    fn slice_mut(buffer: &mut Buffer<Self>) -> Self::SliceMut<'_>;

    /// Creates a tensor of zeros with this shape, then lets `fill` write it.
    fn filled<S: Shape>(
        &self,
        shape: S,
        fill: impl FnOnce(Self::SliceMut<'_>) -> Result<(), Self::Err>,
    ) -> Result<Tensor<S, f32, Self>, Self::Err>;

    /// Changes a contiguous tensor in place. Other tensors that share its storage do not change.
    fn modify<S: Shape>(
        &self,
        tensor: &mut Tensor<S, f32, Self>,
        change: impl FnOnce(Self::SliceMut<'_>) -> Result<(), Self::Err>,
    ) -> Result<(), Self::Err>;

    /// Returns a buffer of `len` floats with unspecified (but initialized) values, for results that need no tensor. A reused buffer
    /// saves dfdx's allocation, which one thread fills with zeros.
    fn acquire(&self, len: usize) -> Result<Buffer<Self>, Self::Err>;

    /// Returns a buffer of [`Backend::acquire`] for reuse.
    fn release(&self, buffer: Buffer<Self>);

    /// Copies `values` into `buffer`.
    ///
    /// # Panics
    /// If their lengths differ.
    fn write(&self, values: &[f32], buffer: &mut Buffer<Self>) -> Result<(), Self::Err>;

    /// Copies the values of `buffer` to the host. Waits for the device.
    fn read(&self, buffer: &Buffer<Self>) -> Result<Vec<f32>, Self::Err>;

    /// Convolution without bias: `x` (N, I, H, W), `w` (O, I, K, K), `y` (N, O, H', W').
    ///
    /// An output must have the same bits whether it is computed with the whole batch or with a part of it that has one or more of the
    /// `slices`. This holds for all methods with slices.
    fn conv2d(
        &self,
        shape: &ConvShape,
        slices: Slices,
        x: Self::Slice<'_>,
        w: Self::Slice<'_>,
        y: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Adds the convolution's input gradient to `gx`.
    fn conv2d_input_gradient(
        &self,
        shape: &ConvShape,
        slices: Slices,
        w: Self::Slice<'_>,
        gy: Self::Slice<'_>,
        gx: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Adds the convolution's weight gradient to `gw`: the sum over `slices` of the batch, see [`Slices`].
    fn conv2d_weight_gradient(
        &self,
        shape: &ConvShape,
        slices: Slices,
        x: Self::Slice<'_>,
        gy: Self::Slice<'_>,
        gw: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Moments of the batch per channel, of which this process has `x` (N, C, H, W).
    fn batch_moments(
        &self,
        shape: &ChannelShape,
        eps: f32,
        reduction: &BatchReduction,
        x: Self::Slice<'_>,
    ) -> Result<BatchMoments<Self>, Self::Err>;

    /// Converts running statistics, both (C,), to moments for evaluation.
    fn running_moments(
        &self,
        eps: f32,
        mean: Self::Slice<'_>,
        variance: Self::Slice<'_>,
    ) -> Result<BatchMoments<Self>, Self::Err>;

    /// Moves a running mean towards a batch's: `r = (1 - momentum) r + momentum s`.
    fn update_running_mean(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Moves a running variance towards a batch's unbiased variance, in the same way.
    fn update_running_variance(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// `y = (x - mean) * inv_std * scale + shift`, per channel.
    fn batch_norm(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: Self::Slice<'_>,
        scale: Self::Slice<'_>,
        shift: Self::Slice<'_>,
        y: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Adds batch norm's gradients, which include the derivatives of the batch's moments. The gradients of scale and shift are those of the
    /// whole batch.
    #[allow(clippy::too_many_arguments)]
    fn batch_norm_backward(
        &self,
        shape: &ChannelShape,
        reduction: &BatchReduction,
        moments: &BatchMoments<Self>,
        x: Self::Slice<'_>,
        scale: Self::Slice<'_>,
        gy: Self::Slice<'_>,
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// `y = x wᵀ + b`: `x` (N, I), `w` (O, I), `b` (O,), `y` (N, O).
    fn linear(
        &self,
        shape: &LinearShape,
        slices: Slices,
        x: Self::Slice<'_>,
        w: Self::Slice<'_>,
        b: Self::Slice<'_>,
        y: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Adds the linear layer's gradients: sums over `slices` of the batch, see [`Slices`].
    fn linear_backward(
        &self,
        shape: &LinearShape,
        slices: Slices,
        x: Self::Slice<'_>,
        w: Self::Slice<'_>,
        gy: Self::Slice<'_>,
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// Mean over height and width: `x` (N, C, H, W), `y` (N, C).
    fn global_average_pool(
        &self,
        shape: &ChannelShape,
        x: Self::Slice<'_>,
        y: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Adds the average pool's input gradient.
    fn global_average_pool_backward(
        &self,
        shape: &ChannelShape,
        gy: Self::Slice<'_>,
        gx: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// The index of the maximum of every output, which [`Backend::max_pool`] stores for its backward pass.
    type MaxIndices: 'static;

    /// Maximum over windows. Padding counts as minus infinity. The first of equal maxima counts.
    fn max_pool(
        &self,
        shape: &PoolShape,
        x: Self::Slice<'_>,
        y: Self::SliceMut<'_>,
    ) -> Result<Self::MaxIndices, Self::Err>;

    /// Adds the max pool's input gradient.
    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        max_indices: &Self::MaxIndices,
        gy: Self::Slice<'_>,
        gx: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Mean over windows, without padding: `x` (N, C, H, W), `y` (N, C, H', W').
    fn average_pool(&self, shape: &PoolShape, x: Self::Slice<'_>, y: Self::SliceMut<'_>) -> Result<(), Self::Err>;

    /// Adds the average pool's input gradient.
    fn average_pool_backward(
        &self,
        shape: &PoolShape,
        gy: Self::Slice<'_>,
        gx: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// `y = max(x, 0)`.
    fn relu(&self, x: Self::Slice<'_>, y: Self::SliceMut<'_>) -> Result<(), Self::Err>;

    /// Adds `gy` to `gx` where `x > 0`.
    fn relu_backward(&self, x: Self::Slice<'_>, gy: Self::Slice<'_>, gx: Self::SliceMut<'_>) -> Result<(), Self::Err>;

    /// `y = a + b`.
    fn add(&self, a: Self::Slice<'_>, b: Self::Slice<'_>, y: Self::SliceMut<'_>) -> Result<(), Self::Err>;

    /// `destination += source`.
    fn accumulate(&self, source: Self::Slice<'_>, destination: Self::SliceMut<'_>) -> Result<(), Self::Err>;

    /// `destination += factor * source`; `factor` has one entry.
    fn scale_accumulate(
        &self,
        factor: Self::Slice<'_>,
        source: Self::Slice<'_>,
        destination: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// Writes the mean cross-entropy of `logits` (N, `classes`) against `labels` (N), with label smoothing in [0, 1], to `loss` (one
    /// entry), and its gradient with respect to the logits to `gradient`; see [`stompp_kernels::cross_entropy`]. Both are those of the mean
    /// over the whole batch. The loss stays on the device, so the host does not wait.
    #[allow(clippy::too_many_arguments)]
    fn cross_entropy(
        &self,
        classes: usize,
        logits: Self::Slice<'_>,
        labels: &[usize],
        smoothing: f32,
        reduction: &BatchReduction,
        loss: Self::SliceMut<'_>,
        gradient: Self::SliceMut<'_>,
    ) -> Result<(), Self::Err>;

    /// `buffer *= factor`.
    fn scale(&self, factor: f32, buffer: Self::SliceMut<'_>) -> Result<(), Self::Err>;

    /// One step of SGD with momentum, in place; see [`stompp_kernels::sgd_momentum_step`].
    fn sgd_step(
        &self,
        step: &SgdStep,
        w: Self::SliceMut<'_>,
        velocity: Self::SliceMut<'_>,
        gradient: Self::Slice<'_>,
    ) -> Result<(), Self::Err>;

    /// One step of Adam, in place; see [`stompp_kernels::adam_step`].
    fn adam_step(
        &self,
        step: &AdamStep,
        w: Self::SliceMut<'_>,
        first_moment: Self::SliceMut<'_>,
        second_moment: Self::SliceMut<'_>,
        gradient: Self::Slice<'_>,
    ) -> Result<(), Self::Err>;

    /// Queued norms of several slices; empty at first.
    type Norms: Default;

    /// Queues the computation of the L2 norm of `values`. It is finite if and only if every value is.
    fn add_norm(&self, norms: &mut Self::Norms, values: Self::Slice<'_>) -> Result<(), Self::Err>;

    /// Returns the norms, in the order in which they were added. One call reads all of them, because each read waits for the device.
    fn read_norms(&self, norms: Self::Norms) -> Result<Vec<f64>, Self::Err>;
}
