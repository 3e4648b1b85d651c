//! The backend for NVIDIA GPUs: hands device memory to `stompp-cuda`.
//!
//! A process has one GPU, the first that it sees (`CUDA_VISIBLE_DEVICES` chooses): [`open`] makes it ready. Everything runs on
//! dfdx's own stream, in order.

mod view;

use crate::{
    backend::{Backend, BatchMoments, BatchNormGradients, Buffer, LinearGradients, LinearShape},
    scratch::Scratch,
};
use cudarc::driver::{CudaSlice, DeviceSlice, DriverError, sys::CUresult};
use dfdx::{
    shapes::Shape,
    tensor::{Cuda, CudaError, Storage, Tensor},
};
use std::{
    cell::RefCell,
    sync::{Mutex, OnceLock, PoisonError},
};
pub use stompp_cuda::{
    Choice, Floats, FloatsMut, Gpu, GpuError, ImagesOnDevice, KernelTime, OpenError, Settings, Versions,
};
use stompp_cuda::{Moments, NormGradients, Normalization};
use stompp_kernels::{AdamStep, ChannelShape, ConvShape, PoolShape, SgdStep};

/// The process's GPU.
static GPU: OnceLock<Gpu> = OnceLock::new();

/// Makes the first GPU ready and gives dfdx's device for it.
///
/// # Errors
/// If there is no GPU, it lacks what is needed, or it was opened before with other settings.
pub fn open(settings: Settings) -> Result<Cuda, OpenError> {
    static OPENING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    // dfdx's own way here panics where there is none.
    let shown = || -> Result<i32, DriverError> {
        cudarc::driver::result::init()?;
        cudarc::driver::result::device::get_count()
    };
    match shown() {
        Ok(1..) => {}
        Ok(count) => return Err(OpenError::NoDevice(format!("{count} GPUs"))),
        // By its number: a driver that is not there has no words for its errors.
        Err(error) => return Err(OpenError::NoDevice(format!("{:?}", error.0))),
    }
    let no_device = |error: CudaError| OpenError::NoDevice(error.to_string());
    let device = Cuda::try_build(0, 0).map_err(no_device)?;
    if let Some(gpu) = GPU.get() {
        let (was, wanted) = (gpu.settings(), settings);
        if was != wanted {
            return Err(OpenError::OtherSettings { was, wanted });
        }
    } else {
        let buffer: Buffer<Cuda> = Storage::<f32>::try_alloc_len(&device, 1).map_err(no_device)?;
        let gpu = Gpu::open(buffer.device(), settings)?;
        GPU.get_or_init(|| gpu);
        view::check(&device).map_err(OpenError::Pointer)?;
    }
    Ok(device)
}

/// The GPU.
///
/// # Errors
/// [`GpuError::NotOpen`] if [`open`] has not made it ready: dfdx makes a [`Cuda`] by itself, too.
pub fn gpu() -> Result<&'static Gpu, GpuError> {
    GPU.get().ok_or(GpuError::NotOpen)
}

/// Does `work` on the GPU; its error as one of dfdx.
///
/// # Errors
/// Those of [`gpu`] and of `work`.
pub fn on_gpu<T>(work: impl FnOnce(&'static Gpu) -> Result<T, GpuError>) -> Result<T, CudaError> {
    gpu().and_then(work).map_err(failed)
}

/// An error of the kernels as one of dfdx, which knows no cuDNN: [`last_failure`] has its words.
pub fn failed(error: GpuError) -> CudaError {
    LAST_FAILURE.with_borrow_mut(|last| *last = Some(error.to_string()));
    match error {
        GpuError::Driver(error) => CudaError::Driver(error),
        GpuError::Blas(error) => CudaError::Blas(error),
        GpuError::NotOpen => CudaError::Driver(DriverError(CUresult::CUDA_ERROR_NOT_INITIALIZED)),
        _ => CudaError::Driver(DriverError(CUresult::CUDA_ERROR_UNKNOWN)),
    }
}

/// What the last error of this thread was, in full; it is told once.
pub fn last_failure() -> Option<String> {
    LAST_FAILURE.take()
}

thread_local! {
    static LAST_FAILURE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Buffers between one use and the next.
    static SCRATCH: RefCell<Scratch<Buffer<Cuda>>> = const { RefCell::new(Scratch::new()) };
}

impl Backend for Cuda {
    type Slice<'a> = Floats<'a>;
    type SliceMut<'a> = FloatsMut<'a>;

    fn values<S: Shape>(tensor: &Tensor<S, f32, Self>) -> Floats<'_> {
        view::values(tensor)
    }

    fn slice(buffer: &Buffer<Self>) -> Floats<'_> {
        Floats::of(buffer)
    }

    fn slice_mut(buffer: &mut Buffer<Self>) -> FloatsMut<'_> {
        FloatsMut::of(buffer)
    }

    fn filled<S: Shape>(
        &self,
        shape: S,
        fill: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
    ) -> Result<Tensor<S, f32, Self>, CudaError> {
        view::filled(self, shape, fill)
    }

    fn change<S: Shape>(
        &self,
        tensor: &mut Tensor<S, f32, Self>,
        change: impl FnOnce(FloatsMut<'_>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        view::rewritten(self, tensor, change)
    }

    fn acquire(&self, len: usize) -> Result<Buffer<Self>, CudaError> {
        match SCRATCH.with_borrow_mut(|scratch| scratch.acquire(len)) {
            Some(buffer) => Ok(buffer),
            None => Storage::<f32>::try_alloc_len(self, len),
        }
    }

    fn release(&self, buffer: Buffer<Self>) {
        // A thread that is ending has dropped its list; then the buffer is simply freed.
        let _ = SCRATCH.try_with(|scratch| scratch.borrow_mut().release(DeviceSlice::len(&buffer), buffer));
    }

    fn write(&self, values: &[f32], buffer: &mut Buffer<Self>) -> Result<(), CudaError> {
        assert_eq!(
            values.len(),
            DeviceSlice::len(buffer),
            "the buffer is of another length"
        );
        let device = buffer.device();
        Ok(device.htod_sync_copy_into(values, buffer)?)
    }

    fn conv2d(&self, shape: &ConvShape, x: Floats<'_>, w: Floats<'_>, y: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d(shape, x, w, y))
    }

    fn conv2d_input_gradient(
        &self,
        shape: &ConvShape,
        w: Floats<'_>,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d_input_gradient(shape, w, gy, gx))
    }

    fn conv2d_weight_gradient(
        &self,
        shape: &ConvShape,
        x: Floats<'_>,
        gy: Floats<'_>,
        gw: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d_weight_gradient(shape, x, gy, gw))
    }

    fn batch_moments(&self, shape: &ChannelShape, eps: f32, x: Floats<'_>) -> Result<BatchMoments<Self>, CudaError> {
        let mut moments = no_moments(self, shape.channels)?;
        let out = Moments {
            mean: FloatsMut::of(&mut moments.mean),
            variance: FloatsMut::of(&mut moments.variance),
            inv_std: FloatsMut::of(&mut moments.inv_std),
        };
        on_gpu(|gpu| gpu.moments(shape, eps, x, out))?;
        Ok(moments)
    }

    fn running_moments(
        &self,
        eps: f32,
        mean: Floats<'_>,
        variance: Floats<'_>,
    ) -> Result<BatchMoments<Self>, CudaError> {
        let mut moments = no_moments(self, mean.len())?;
        on_gpu(|gpu| gpu.copy(mean, FloatsMut::of(&mut moments.mean)))?;
        on_gpu(|gpu| gpu.copy(variance, FloatsMut::of(&mut moments.variance)))?;
        on_gpu(|gpu| gpu.inverse_deviation(eps, variance, FloatsMut::of(&mut moments.inv_std)))?;
        Ok(moments)
    }

    fn follow_mean(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.follow_mean(shape, momentum, Floats::of(&moments.mean), running))
    }

    fn follow_variance(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.follow_variance(shape, momentum, Floats::of(&moments.variance), running))
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
        on_gpu(|gpu| gpu.batch_norm(shape, normalization(moments, scale, shift), x, y))
    }

    fn batch_norm_backward(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: Floats<'_>,
        scale: Floats<'_>,
        gy: Floats<'_>,
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        // The shift has no part in the gradients; anything of its length will do.
        let norm = normalization(moments, scale, scale);
        let gradients = NormGradients {
            x: gradients.input,
            add_to_x: true,
            residual: None,
            scale: gradients.scale,
            shift: gradients.shift,
        };
        on_gpu(|gpu| gpu.norm_backward(shape, norm, None, x, None, gy, gradients))
    }

    fn linear(
        &self,
        shape: &LinearShape,
        x: Floats<'_>,
        w: Floats<'_>,
        b: Floats<'_>,
        y: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.linear((shape.batch, shape.inputs, shape.outputs), x, w, b, y))
    }

    fn linear_backward(
        &self,
        shape: &LinearShape,
        x: Floats<'_>,
        w: Floats<'_>,
        gy: Floats<'_>,
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        let wanted = (gradients.input, gradients.weight, gradients.bias);
        on_gpu(|gpu| gpu.linear_backward((shape.batch, shape.inputs, shape.outputs), x, w, gy, wanted))
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

    type Winners = CudaSlice<u32>;

    fn max_pool(&self, shape: &PoolShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<CudaSlice<u32>, CudaError> {
        on_gpu(|gpu| gpu.max_pool(shape, x, y))
    }

    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        winners: &CudaSlice<u32>,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.max_pool_backward(shape, winners, gy, gx))
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
        loss: FloatsMut<'_>,
        gradient: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.cross_entropy(classes, logits, labels, smoothing, loss, gradient))
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

    type Norms = stompp_cuda::Norms;

    fn add_norm(&self, norms: &mut Self::Norms, values: Floats<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.add_norm(norms, values))
    }

    fn read_norms(&self, norms: Self::Norms) -> Result<Vec<f64>, CudaError> {
        on_gpu(|gpu| gpu.read_norms(&norms))
    }
}

/// What the kernels normalise by.
pub fn normalization<'a>(moments: &'a BatchMoments<Cuda>, scale: Floats<'a>, shift: Floats<'a>) -> Normalization<'a> {
    Normalization {
        mean: Floats::of(&moments.mean),
        inv_std: Floats::of(&moments.inv_std),
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
