//! The backend for NVIDIA GPUs: hands device memory to `stompp-cuda`. Its helpers are public for ops written elsewhere.
//!
//! A process has one GPU, the first that it sees (`CUDA_VISIBLE_DEVICES` chooses): [`open`] makes it ready. Everything runs on
//! dfdx's own stream, in order.

mod view;

use crate::{
    backend::{Backend, BatchMoments, BatchNormGradients, Buffer, LinearGradients},
    scratch::Scratch,
};
use cudarc::driver::{CudaSlice, DeviceSlice, DriverError, sys::CUresult};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
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
use view::rewritten;
pub use view::{filled, values};

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
    type Winners = CudaSlice<u32>;

    fn conv2d<X: Shape, W: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        filled(self, out, |y| gpu()?.conv2d(shape, values(x), values(w), y))
    }

    fn conv2d_into<X: Shape, W: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d(shape, values(x), values(w), FloatsMut::of(out)))
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

    fn conv2d_input_gradient<W: Shape>(
        &self,
        shape: &ConvShape,
        w: &Tensor<W, f32, Self>,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d_input_gradient(shape, values(w), Floats::of(gy), FloatsMut::of(gx)))
    }

    fn conv2d_weight_gradient<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        gy: &Buffer<Self>,
        gw: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.conv2d_weight_gradient(shape, values(x), Floats::of(gy), FloatsMut::of(gw)))
    }

    fn batch_moments<X: Shape>(
        &self,
        shape: &ChannelShape,
        eps: f32,
        x: &Tensor<X, f32, Self>,
    ) -> Result<BatchMoments<Self>, CudaError> {
        moments_of(self, shape, eps, values(x))
    }

    fn buffer_moments(
        &self,
        shape: &ChannelShape,
        eps: f32,
        x: &Buffer<Self>,
    ) -> Result<BatchMoments<Self>, CudaError> {
        moments_of(self, shape, eps, Floats::of(x))
    }

    fn batch_norm<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &Tensor<X, f32, Self>,
        scale: &Tensor<(C,), f32, Self>,
        shift: &Tensor<(C,), f32, Self>,
    ) -> Result<Tensor<X, f32, Self>, CudaError> {
        let norm = normalization(moments, scale, shift);
        filled(self, *x.shape(), |y| gpu()?.batch_norm(shape, norm, values(x), y))
    }

    fn batch_norm_backward<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &Tensor<X, f32, Self>,
        scale: &Tensor<(C,), f32, Self>,
        gy: &Buffer<Self>,
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        // The shift has no part in the gradients; anything of its length will do.
        let norm = normalization(moments, scale, scale);
        let gradients = NormGradients {
            x: gradients.input.map(FloatsMut::of),
            add_to_x: true,
            residual: None,
            scale: FloatsMut::of(gradients.scale),
            shift: FloatsMut::of(gradients.shift),
        };
        on_gpu(|gpu| gpu.norm_backward(shape, norm, None, values(x), None, Floats::of(gy), gradients))
    }

    fn update_running<C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        momentum: f32,
        mean: &mut Tensor<(C,), f32, Self>,
        variance: &mut Tensor<(C,), f32, Self>,
    ) -> Result<(), CudaError> {
        let batch = || (Floats::of(&moments.mean), Floats::of(&moments.variance));
        rewritten(self, mean, |mean| gpu()?.follow_mean(shape, momentum, batch().0, mean))?;
        rewritten(self, variance, |variance| {
            gpu()?.follow_variance(shape, momentum, batch().1, variance)
        })
    }

    fn running_moments<C: Dim>(
        &self,
        eps: f32,
        mean: &Tensor<(C,), f32, Self>,
        variance: &Tensor<(C,), f32, Self>,
    ) -> Result<BatchMoments<Self>, CudaError> {
        let channels = mean.shape().num_elements();
        let mut moments = no_moments(self, channels)?;
        let copy = |from: Floats<'_>, to: &mut Buffer<Self>| on_gpu(|gpu| gpu.copy(from, FloatsMut::of(to)));
        copy(values(mean), &mut moments.mean)?;
        copy(values(variance), &mut moments.variance)?;
        on_gpu(|gpu| gpu.inverse_deviation(eps, values(variance), FloatsMut::of(&mut moments.inv_std)))?;
        Ok(moments)
    }

    fn linear<B: Dim, I: Dim, O: Dim>(
        &self,
        x: &Tensor<(B, I), f32, Self>,
        w: &Tensor<(O, I), f32, Self>,
        b: &Tensor<(O,), f32, Self>,
    ) -> Result<Tensor<(B, O), f32, Self>, CudaError> {
        let ((batch, inputs), (outputs, _)) = (*x.shape(), *w.shape());
        let sizes = (batch.size(), inputs.size(), outputs.size());
        filled(self, (batch, outputs), |y| {
            gpu()?.linear(sizes, values(x), values(w), values(b), y)
        })
    }

    fn linear_backward<B: Dim, I: Dim, O: Dim>(
        &self,
        x: &Tensor<(B, I), f32, Self>,
        w: &Tensor<(O, I), f32, Self>,
        gy: &Buffer<Self>,
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        let ((batch, inputs), (outputs, _)) = (*x.shape(), *w.shape());
        let sizes = (batch.size(), inputs.size(), outputs.size());
        let LinearGradients { input, weight, bias } = gradients;
        let wanted = (input.map(FloatsMut::of), FloatsMut::of(weight), FloatsMut::of(bias));
        on_gpu(|gpu| gpu.linear_backward(sizes, values(x), values(w), Floats::of(gy), wanted))
    }

    fn global_average_pool<X: Shape, Y: Shape>(
        &self,
        shape: &ChannelShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        filled(self, out, |y| gpu()?.average_pool(shape, values(x), y))
    }

    fn global_average_pool_backward(
        &self,
        shape: &ChannelShape,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.average_pool_backward(shape, Floats::of(gy), FloatsMut::of(gx)))
    }

    fn max_pool<X: Shape, Y: Shape>(
        &self,
        shape: &PoolShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<(Tensor<Y, f32, Self>, Self::Winners), CudaError> {
        let mut winners = None;
        let y = filled(self, out, |y| {
            winners = Some(gpu()?.max_pool(shape, values(x), y)?);
            Ok(())
        })?;
        Ok((y, winners.expect("the pool has run")))
    }

    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        winners: &Self::Winners,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.max_pool_backward(shape, winners, Floats::of(gy), FloatsMut::of(gx)))
    }

    fn average_pool<X: Shape, Y: Shape>(
        &self,
        shape: &PoolShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        filled(self, out, |y| gpu()?.window_mean(shape, values(x), y))
    }

    fn average_pool_backward(
        &self,
        shape: &PoolShape,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.window_mean_backward(shape, Floats::of(gy), FloatsMut::of(gx)))
    }

    fn relu<X: Shape>(&self, x: &Tensor<X, f32, Self>) -> Result<Tensor<X, f32, Self>, CudaError> {
        filled(self, *x.shape(), |y| gpu()?.relu(values(x), y))
    }

    fn relu_backward<X: Shape>(
        &self,
        x: &Tensor<X, f32, Self>,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.relu_backward(values(x), Floats::of(gy), FloatsMut::of(gx)))
    }

    fn add<X: Shape>(
        &self,
        a: &Tensor<X, f32, Self>,
        b: &Tensor<X, f32, Self>,
    ) -> Result<Tensor<X, f32, Self>, CudaError> {
        filled(self, *a.shape(), |y| gpu()?.add(values(a), values(b), y))
    }

    fn accumulate(&self, source: &Buffer<Self>, destination: &mut Buffer<Self>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.accumulate(Floats::of(source), FloatsMut::of(destination)))
    }

    fn cross_entropy<B: Dim, C: Dim>(
        &self,
        logits: &Tensor<(B, C), f32, Self>,
        labels: &[usize],
    ) -> Result<(Tensor<(), f32, Self>, Buffer<Self>), CudaError> {
        let classes = logits.shape().1.size();
        let mut gradient = Storage::<f32>::try_alloc_len(self, logits.shape().num_elements())?;
        let loss = filled(self, (), |loss| {
            gpu()?.cross_entropy(classes, values(logits), labels, loss, FloatsMut::of(&mut gradient))
        })?;
        Ok((loss, gradient))
    }

    fn scale_accumulate(
        &self,
        factor: &Buffer<Self>,
        source: &Buffer<Self>,
        destination: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.scale_accumulate(Floats::of(factor), Floats::of(source), FloatsMut::of(destination)))
    }

    fn sgd_step<S: Shape>(
        &self,
        step: &SgdStep,
        w: &mut Tensor<S, f32, Self>,
        velocity: &mut Buffer<Self>,
        gradient: &Buffer<Self>,
    ) -> Result<(), CudaError> {
        let velocity = FloatsMut::of(velocity);
        rewritten(self, w, |w| gpu()?.sgd_step(step, w, velocity, Floats::of(gradient)))
    }

    fn adam_step<S: Shape>(
        &self,
        step: &AdamStep,
        w: &mut Tensor<S, f32, Self>,
        first_moment: &mut Buffer<Self>,
        second_moment: &mut Buffer<Self>,
        gradient: &Buffer<Self>,
    ) -> Result<(), CudaError> {
        let (m, s) = (FloatsMut::of(first_moment), FloatsMut::of(second_moment));
        rewritten(self, w, |w| gpu()?.adam_step(step, w, m, s, Floats::of(gradient)))
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

    type Norms = stompp_cuda::Norms;

    fn add_norm(&self, norms: &mut Self::Norms, buffer: &Buffer<Self>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.add_norm(norms, Floats::of(buffer)))
    }

    fn read_norms(&self, norms: Self::Norms) -> Result<Vec<f64>, CudaError> {
        on_gpu(|gpu| gpu.read_norms(&norms))
    }
}

/// What the kernels normalise by.
pub fn normalization<'a, C: Dim>(
    moments: &'a BatchMoments<Cuda>,
    scale: &'a Tensor<(C,), f32, Cuda>,
    shift: &'a Tensor<(C,), f32, Cuda>,
) -> Normalization<'a> {
    Normalization {
        mean: Floats::of(&moments.mean),
        inv_std: Floats::of(&moments.inv_std),
        scale: values(scale),
        shift: values(shift),
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

fn moments_of(device: &Cuda, shape: &ChannelShape, eps: f32, x: Floats<'_>) -> Result<BatchMoments<Cuda>, CudaError> {
    let mut moments = no_moments(device, shape.channels)?;
    let out = Moments {
        mean: FloatsMut::of(&mut moments.mean),
        variance: FloatsMut::of(&mut moments.variance),
        inv_std: FloatsMut::of(&mut moments.inv_std),
    };
    on_gpu(|gpu| gpu.moments(shape, eps, x, out))?;
    Ok(moments)
}
