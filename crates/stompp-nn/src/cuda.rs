//! The backend for NVIDIA GPUs: calls `stompp-cuda` on device memory.
//!
//! A process uses one GPU, the first visible one (`CUDA_VISIBLE_DEVICES` selects it). [`open`] opens it; [`open_for`] gives each of
//! several processes on a machine another one. Everything runs on dfdx's own stream, in order.

mod device;
mod view;

pub use device::{gpu, on_gpu, open, open_for, take_last_error, to_cuda_error};

use crate::{
    BatchReduction,
    backend::{Backend, BatchMoments, BatchNormGradients, Buffer, LinearGradients, LinearShape},
    scratch::Scratch,
};
use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::{
    shapes::Shape,
    tensor::{Cuda, CudaError, Storage, Tensor},
};
use std::cell::RefCell;
pub use stompp_cuda::{
    AlgorithmChoice, DeviceImages, Floats, FloatsMut, Gpu, GpuError, GpuSettings, KernelTime, OpenGpuError, Versions,
};
use stompp_cuda::{BatchNormParams, BatchSums, Moments, NormGradients};
use stompp_kernels::{AdamStep, ChannelShape, ConvShape, PoolShape, SgdStep, Slices};

thread_local! {
    /// Free buffers for reuse.
    static SCRATCH: RefCell<Scratch<Buffer<Cuda>>> = const { RefCell::new(Scratch::new()) };
}

impl Backend for Cuda {
    type Slice<'a> = Floats<'a>;
    type SliceMut<'a> = FloatsMut<'a>;

    fn values<S: Shape>(tensor: &Tensor<S, f32, Self>) -> Floats<'_> {
        view::values(tensor)
    }

    fn slice(buffer: &Buffer<Self>) -> Floats<'_> {
        Floats::new(buffer)
    }

    fn slice_mut(buffer: &mut Buffer<Self>) -> FloatsMut<'_> {
        FloatsMut::new(buffer)
    }

    fn filled<S: Shape>(
        &self,
        shape: S,
        fill: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
    ) -> Result<Tensor<S, f32, Self>, CudaError> {
        view::filled(self, shape, fill)
    }

    fn modify<S: Shape>(
        &self,
        tensor: &mut Tensor<S, f32, Self>,
        change: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        view::rewrite(self, tensor, change)
    }

    fn acquire(&self, len: usize) -> Result<Buffer<Self>, CudaError> {
        match SCRATCH.with_borrow_mut(|scratch| scratch.acquire(len)) {
            Some(buffer) => Ok(buffer),
            None => Storage::<f32>::try_alloc_len(self, len),
        }
    }

    fn release(&self, buffer: Buffer<Self>) {
        // A thread that is ending has already dropped its list; the buffer is then freed.
        let _ = SCRATCH.try_with(|scratch| scratch.borrow_mut().release(DeviceSlice::len(&buffer), buffer));
    }

    fn write(&self, values: &[f32], buffer: &mut Buffer<Self>) -> Result<(), CudaError> {
        assert_eq!(values.len(), DeviceSlice::len(buffer), "the buffer has another length");
        let device = buffer.device();
        Ok(device.htod_sync_copy_into(values, buffer)?)
    }

    fn read(&self, buffer: &Buffer<Self>) -> Result<Vec<f32>, CudaError> {
        Ok(buffer.device().dtoh_sync_copy(buffer)?)
    }

    fn conv2d(
        &self,
        shape: &ConvShape,
        slices: Slices,
        x: Floats<'_>,
        w: Floats<'_>,
        y: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d(shape, slices, x, w, y))
    }

    fn conv2d_input_gradient(
        &self,
        shape: &ConvShape,
        slices: Slices,
        w: Floats<'_>,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d_input_gradient(shape, slices, w, gy, gx))
    }

    fn conv2d_weight_gradient(
        &self,
        shape: &ConvShape,
        slices: Slices,
        x: Floats<'_>,
        gy: Floats<'_>,
        gw: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d_weight_gradient(shape, slices, x, gy, gw))
    }

    fn batch_moments(
        &self,
        shape: &ChannelShape,
        eps: f32,
        reduction: &BatchReduction,
        x: Floats<'_>,
    ) -> Result<BatchMoments<Self>, CudaError> {
        let mut moments = no_moments(self, shape.channels)?;
        let out = Moments {
            mean: FloatsMut::new(&mut moments.mean),
            variance: FloatsMut::new(&mut moments.variance),
            inv_std: FloatsMut::new(&mut moments.inv_std),
        };
        with_sums(reduction, shape.batch, |sums| {
            on_gpu(|gpu| gpu.moments(shape, sums, eps, x, out))
        })?;
        Ok(moments)
    }

    fn running_moments(
        &self,
        eps: f32,
        mean: Floats<'_>,
        variance: Floats<'_>,
    ) -> Result<BatchMoments<Self>, CudaError> {
        let mut moments = no_moments(self, mean.len())?;
        on_gpu(|gpu| gpu.copy(mean, FloatsMut::new(&mut moments.mean)))?;
        on_gpu(|gpu| gpu.copy(variance, FloatsMut::new(&mut moments.variance)))?;
        on_gpu(|gpu| gpu.inverse_deviation(eps, variance, FloatsMut::new(&mut moments.inv_std)))?;
        Ok(moments)
    }

    fn update_running_mean(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.update_running_mean(shape, momentum, Floats::new(&moments.mean), running))
    }

    fn update_running_variance(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.update_running_variance(shape, momentum, Floats::new(&moments.variance), running))
    }

    fn batch_norm(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: Floats<'_>,
        scale: Floats<'_>,
        shift: Floats<'_>,
        y: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.batch_norm(shape, batch_norm_params(moments, scale, shift), x, y))
    }

    fn batch_norm_backward(
        &self,
        shape: &ChannelShape,
        reduction: &BatchReduction,
        moments: &BatchMoments<Self>,
        x: Floats<'_>,
        scale: Floats<'_>,
        gy: Floats<'_>,
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        // The gradients do not depend on the shift; any slice of its length will do.
        let norm = batch_norm_params(moments, scale, scale);
        let gradients = NormGradients {
            x: gradients.input,
            add_to_x: true,
            residual: None,
            scale: gradients.scale,
            shift: gradients.shift,
        };
        with_sums(reduction, shape.batch, |sums| {
            on_gpu(|gpu| gpu.norm_backward(shape, sums, norm, None, x, None, gy, gradients))
        })
    }

    fn linear(
        &self,
        shape: &LinearShape,
        slices: Slices,
        x: Floats<'_>,
        w: Floats<'_>,
        b: Floats<'_>,
        y: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.linear((shape.batch, shape.inputs, shape.outputs), slices, x, w, b, y))
    }

    fn linear_backward(
        &self,
        shape: &LinearShape,
        slices: Slices,
        x: Floats<'_>,
        w: Floats<'_>,
        gy: Floats<'_>,
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        let wanted = (gradients.input, gradients.weight, gradients.bias);
        on_gpu(|gpu| gpu.linear_backward((shape.batch, shape.inputs, shape.outputs), slices, x, w, gy, wanted))
    }

    fn global_average_pool(&self, shape: &ChannelShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.average_pool(shape, x, y))
    }

    fn global_average_pool_backward(
        &self,
        shape: &ChannelShape,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.average_pool_backward(shape, gy, gx))
    }

    type MaxIndices = CudaSlice<u32>;

    fn max_pool(&self, shape: &PoolShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<CudaSlice<u32>, CudaError> {
        on_gpu(|gpu| gpu.max_pool(shape, x, y))
    }

    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        max_indices: &CudaSlice<u32>,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.max_pool_backward(shape, max_indices, gy, gx))
    }

    fn average_pool(&self, shape: &PoolShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.window_mean(shape, x, y))
    }

    fn average_pool_backward(&self, shape: &PoolShape, gy: Floats<'_>, gx: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.window_mean_backward(shape, gy, gx))
    }

    fn relu(&self, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.relu(x, y))
    }

    fn relu_backward(&self, x: Floats<'_>, gy: Floats<'_>, gx: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.relu_backward(x, gy, gx))
    }

    fn add(&self, a: Floats<'_>, b: Floats<'_>, y: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.add(a, b, y))
    }

    fn accumulate(&self, source: Floats<'_>, destination: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.accumulate(source, destination))
    }

    fn scale_accumulate(
        &self,
        factor: Floats<'_>,
        source: Floats<'_>,
        destination: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.scale_accumulate(factor, source, destination))
    }

    fn cross_entropy(
        &self,
        classes: usize,
        logits: Floats<'_>,
        labels: &[usize],
        smoothing: f32,
        reduction: &BatchReduction,
        loss: FloatsMut<'_>,
        gradient: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        with_sums(reduction, labels.len(), |sums| {
            on_gpu(|gpu| gpu.cross_entropy(classes, logits, labels, smoothing, sums, loss, gradient))
        })
    }

    fn scale(&self, factor: f32, buffer: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.scale(factor, buffer))
    }

    fn sgd_step(
        &self,
        step: &SgdStep,
        w: FloatsMut<'_>,
        velocity: FloatsMut<'_>,
        gradient: Floats<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.sgd_step(step, w, velocity, gradient))
    }

    fn adam_step(
        &self,
        step: &AdamStep,
        w: FloatsMut<'_>,
        first_moment: FloatsMut<'_>,
        second_moment: FloatsMut<'_>,
        gradient: Floats<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.adam_step(step, w, first_moment, second_moment, gradient))
    }

    type Norms = stompp_cuda::PendingNorms;

    fn add_norm(&self, norms: &mut Self::Norms, values: Floats<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.add_norm(norms, values))
    }

    fn read_norms(&self, norms: Self::Norms) -> Result<Vec<f64>, CudaError> {
        on_gpu(|gpu| gpu.read_norms(&norms))
    }
}

/// Calls `work` with the sums of `reduction` over a batch of which this process has `images` images. Sums of several processes go through
/// host memory.
pub fn with_sums<T>(reduction: &BatchReduction, images: usize, work: impl FnOnce(&BatchSums<'_>) -> T) -> T {
    let exchange = |values: &mut [f64]| reduction.sum(values);
    work(&BatchSums {
        slices: reduction.slices(),
        whole_batch: reduction.whole_batch(images),
        exchange: reduction.collective().is_some().then_some(&exchange),
    })
}

/// The parameters of batch norm, as the kernels need them.
pub fn batch_norm_params<'a>(
    moments: &'a BatchMoments<Cuda>,
    scale: Floats<'a>,
    shift: Floats<'a>,
) -> BatchNormParams<'a> {
    BatchNormParams {
        mean: Floats::new(&moments.mean),
        inv_std: Floats::new(&moments.inv_std),
        scale,
        shift,
    }
}

fn no_moments(device: &Cuda, channels: usize) -> Result<BatchMoments<Cuda>, CudaError> {
    let buffer = || Storage::<f32>::try_alloc_len(device, channels);
    Ok(BatchMoments {
        mean: buffer()?,
        variance: buffer()?,
        inv_std: buffer()?,
    })
}
