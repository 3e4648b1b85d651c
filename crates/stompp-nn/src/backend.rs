//! What a device must provide: one trait, so that another device can follow without touching a layer.
//!
//! Each method is one kernel call. Methods named `..._gradient` or `..._backward` **accumulate** into their outputs, as
//! dfdx's own kernels do; everything else returns a fresh tensor.

use dfdx::{
    shapes::{Dim, Shape},
    tensor::{Cache, Storage, Tensor},
    tensor_ops::Device,
};
pub use stompp_kernels::{AdamStep, SgdStep};
use stompp_kernels::{ChannelShape, ConvShape, PoolShape};

/// A device's raw storage, such as a gradient in place.
pub type Buffer<D> = <D as Storage<f32>>::Vec;

/// The moments of one batch, one entry a channel.
#[derive(Debug)]
pub struct BatchMoments<D: Storage<f32>> {
    /// Mean.
    pub mean: Buffer<D>,
    /// Biased variance.
    pub variance: Buffer<D>,
    /// `1 / sqrt(variance + eps)`.
    pub inv_std: Buffer<D>,
}

/// The gradients that batch norm's backward pass adds to.
#[derive(Debug)]
pub struct BatchNormGradients<'a, D: Storage<f32>> {
    /// Gradient of the input; `None` if nobody wants it.
    pub input: Option<&'a mut Buffer<D>>,
    /// Gradient of the scale, shape (C,).
    pub scale: &'a mut Buffer<D>,
    /// Gradient of the shift, shape (C,).
    pub shift: &'a mut Buffer<D>,
}

/// The gradients that a linear layer's backward pass adds to.
#[derive(Debug)]
pub struct LinearGradients<'a, D: Storage<f32>> {
    /// Gradient of the input; `None` if nobody wants it.
    pub input: Option<&'a mut Buffer<D>>,
    /// Gradient of the weight, shape (O, I).
    pub weight: &'a mut Buffer<D>,
    /// Gradient of the bias, shape (O,).
    pub bias: &'a mut Buffer<D>,
}

/// A dfdx device with the kernels of this crate's ops. Tensors are contiguous, images NCHW.
///
/// # Errors
/// Every method fails with the device's own error, as dfdx's ops do (out of memory, a failed launch).
pub trait Backend: Device<f32> + Cache {
    /// Convolution without bias: `x` (N, I, H, W), `w` (O, I, K, K) -> (N, O, H', W').
    fn conv2d<X: Shape, W: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, Self::Err>;

    /// As [`Backend::conv2d`], into a buffer of the output's length.
    fn conv2d_into<X: Shape, W: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// A buffer of `len` floats of unspecified (but initialized) value, for results that no tensor need hold. What dfdx
    /// allocates is filled with zeros first, by one thread.
    fn acquire(&self, len: usize) -> Result<Buffer<Self>, Self::Err>;

    /// Takes back what [`Backend::acquire`] gave, to give it again.
    fn release(&self, buffer: Buffer<Self>);

    /// Adds the convolution's input gradient to `gx`.
    fn conv2d_input_gradient<W: Shape>(
        &self,
        shape: &ConvShape,
        w: &Tensor<W, f32, Self>,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// Adds the convolution's weight gradient to `gw`.
    fn conv2d_weight_gradient<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        gy: &Buffer<Self>,
        gw: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// Moments of `x` (N, C, H, W) per channel.
    fn batch_moments<X: Shape>(
        &self,
        shape: &ChannelShape,
        eps: f32,
        x: &Tensor<X, f32, Self>,
    ) -> Result<BatchMoments<Self>, Self::Err>;

    /// As [`Backend::batch_moments`], of a buffer.
    fn buffer_moments(&self, shape: &ChannelShape, eps: f32, x: &Buffer<Self>)
    -> Result<BatchMoments<Self>, Self::Err>;

    /// `(x - mean) * inv_std * scale + shift`, per channel.
    fn batch_norm<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &Tensor<X, f32, Self>,
        scale: &Tensor<(C,), f32, Self>,
        shift: &Tensor<(C,), f32, Self>,
    ) -> Result<Tensor<X, f32, Self>, Self::Err>;

    /// Adds batch norm's gradients, through the batch's own moments.
    fn batch_norm_backward<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &Tensor<X, f32, Self>,
        scale: &Tensor<(C,), f32, Self>,
        gy: &Buffer<Self>,
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// Moves running statistics towards a batch's: `r = (1 - momentum) r + momentum s`, with the unbiased variance.
    fn update_running<C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        momentum: f32,
        mean: &mut Tensor<(C,), f32, Self>,
        variance: &mut Tensor<(C,), f32, Self>,
    ) -> Result<(), Self::Err>;

    /// Running statistics as moments, for evaluation.
    fn running_moments<C: Dim>(
        &self,
        eps: f32,
        mean: &Tensor<(C,), f32, Self>,
        variance: &Tensor<(C,), f32, Self>,
    ) -> Result<BatchMoments<Self>, Self::Err>;

    /// `x wᵀ + b`: `x` (N, I), `w` (O, I), `b` (O,) -> (N, O).
    fn linear<B: Dim, I: Dim, O: Dim>(
        &self,
        x: &Tensor<(B, I), f32, Self>,
        w: &Tensor<(O, I), f32, Self>,
        b: &Tensor<(O,), f32, Self>,
    ) -> Result<Tensor<(B, O), f32, Self>, Self::Err>;

    /// Adds the linear layer's gradients.
    fn linear_backward<B: Dim, I: Dim, O: Dim>(
        &self,
        x: &Tensor<(B, I), f32, Self>,
        w: &Tensor<(O, I), f32, Self>,
        gy: &Buffer<Self>,
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), Self::Err>;

    /// Mean over height and width: (N, C, H, W) -> (N, C).
    fn global_average_pool<X: Shape, Y: Shape>(
        &self,
        shape: &ChannelShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, Self::Err>;

    /// Adds the average pool's input gradient.
    fn global_average_pool_backward(
        &self,
        shape: &ChannelShape,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// What [`Backend::max_pool`] remembers for its backward pass: the winning input of every output.
    type Winners: 'static;

    #[allow(clippy::type_complexity)] // a name for this one pair would hide more than it explains
    /// Maximum over windows; padding counts as minus infinity, the first maximum wins.
    fn max_pool<X: Shape, Y: Shape>(
        &self,
        shape: &PoolShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<(Tensor<Y, f32, Self>, Self::Winners), Self::Err>;

    /// Adds the max pool's input gradient.
    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        winners: &Self::Winners,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// Mean over windows, without padding: (N, C, H, W) -> (N, C, H', W').
    fn average_pool<X: Shape, Y: Shape>(
        &self,
        shape: &PoolShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, Self::Err>;

    /// Adds the average pool's input gradient.
    fn average_pool_backward(
        &self,
        shape: &PoolShape,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// `max(x, 0)`.
    fn relu<X: Shape>(&self, x: &Tensor<X, f32, Self>) -> Result<Tensor<X, f32, Self>, Self::Err>;

    /// Adds `gy` where `x > 0`.
    fn relu_backward<X: Shape>(
        &self,
        x: &Tensor<X, f32, Self>,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// `a + b`.
    fn add<X: Shape>(
        &self,
        a: &Tensor<X, f32, Self>,
        b: &Tensor<X, f32, Self>,
    ) -> Result<Tensor<X, f32, Self>, Self::Err>;

    /// `destination += source`.
    fn accumulate(&self, source: &Buffer<Self>, destination: &mut Buffer<Self>) -> Result<(), Self::Err>;

    /// Mean cross-entropy of `logits` (N, classes) against `labels` (N), and its gradient by the logits. The loss stays on the device,
    /// which need not be waited for.
    #[allow(clippy::type_complexity)] // A name for this one pair would hide more than it explains.
    fn cross_entropy<B: Dim, C: Dim>(
        &self,
        logits: &Tensor<(B, C), f32, Self>,
        labels: &[usize],
    ) -> Result<(Tensor<(), f32, Self>, Buffer<Self>), Self::Err>;

    /// `destination += factor * source`.
    fn scale_accumulate(
        &self,
        factor: &Buffer<Self>,
        source: &Buffer<Self>,
        destination: &mut Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// One step of SGD with momentum, in place; see [`stompp_kernels::sgd_momentum_step`].
    fn sgd_step<S: Shape>(
        &self,
        step: &SgdStep,
        w: &mut Tensor<S, f32, Self>,
        velocity: &mut Buffer<Self>,
        gradient: &Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// One step of Adam, in place; see [`stompp_kernels::adam_step`].
    fn adam_step<S: Shape>(
        &self,
        step: &AdamStep,
        w: &mut Tensor<S, f32, Self>,
        first_moment: &mut Buffer<Self>,
        second_moment: &mut Buffer<Self>,
        gradient: &Buffer<Self>,
    ) -> Result<(), Self::Err>;

    /// Copies `values`, as many as the buffer has, into it.
    ///
    /// # Panics
    /// If their number differs.
    fn write(&self, values: &[f32], buffer: &mut Buffer<Self>) -> Result<(), Self::Err>;

    /// Norms of several buffers on their way; an empty collection at first.
    type Norms: Default;

    /// Has the L2 norm of `buffer` computed: finite exactly if each of its values is.
    fn add_norm(&self, norms: &mut Self::Norms, buffer: &Buffer<Self>) -> Result<(), Self::Err>;

    /// The norms, in the order in which they were added. Together, because a device has to be waited for.
    fn read_norms(&self, norms: Self::Norms) -> Result<Vec<f64>, Self::Err>;
}
