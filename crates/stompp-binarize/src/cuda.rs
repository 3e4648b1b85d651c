//! The GPU's kernels for quantizers and committed convolutions.

use crate::{
    BinaryBackend, FreezeState, FreezingMask, MaskOnDevice, NormQuantize, NormQuantizeGradients, Refresher, Surrogate,
};
use cudarc::driver::CudaSlice;
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{Cuda, CudaError, Tensor},
};
use std::{any::Any, sync::Arc};
use stompp_cuda::{Floats, FloatsMut, MaskChanges, NormGradients, Quantizer, Signs};
use stompp_kernels::ConvShape;
use stompp_nn::{
    DeviceError,
    backend::Buffer,
    cuda::{filled, gpu, normalization, on_gpu, values},
};
use stompp_rng::StreamKey;
use stompp_schedule::Refreshed;

/// A mask in the device's memory.
#[derive(Debug)]
struct CudaMask(CudaSlice<u64>);

impl MaskOnDevice for CudaMask {
    fn words(&self) -> Result<Vec<u64>, DeviceError> {
        on_gpu(|gpu| gpu.download_mask(&self.0)).map_err(DeviceError::new)
    }
}

/// `mask` on the device.
fn on_device(mask: &FreezingMask) -> Result<Arc<CudaMask>, CudaError> {
    let mask: Arc<dyn Any + Send + Sync> = mask.device(|mask| {
        let words = on_gpu(|gpu| gpu.upload_mask(mask.words()))?;
        Ok::<Arc<dyn MaskOnDevice>, CudaError>(Arc::new(CudaMask(words)))
    })?;
    Ok(mask.downcast().expect("a process has masks on one kind of device"))
}

/// Draws below which the host is faster: it takes about 30 ns for each, and a refresh on the device about 30 us for its launches and
/// for what it tells.
const FEW_DRAWS: f64 = 1024.0;

impl Refresher for Cuda {
    fn refresh(&self, mask: &FreezingMask, p: f64, r: f64, key: &StreamKey) -> Option<(FreezingMask, Refreshed)> {
        let entries = mask.entries();
        if (entries as f64 / r) < FEW_DRAWS {
            return None;
        }
        // The host draws the same mask where the device cannot, for want of memory; an error that stays is met by the next kernel.
        let before = on_device(mask).ok()?;
        let (fresh, changes) = gpu().ok()?.refresh_mask(&before.0, entries, p, r, key.bytes()).ok()?;
        let MaskChanges {
            redrawn,
            frozen,
            opened,
        } = changes;
        let fresh = FreezingMask::on_device(entries, mask.frozen() + frozen - opened, Arc::new(CudaMask(fresh)));
        let changed = frozen + opened;
        Some((fresh, Refreshed { redrawn, changed }))
    }
}

/// What the device is told of a quantizer in `state`.
fn quantizer(state: &FreezeState<Arc<CudaMask>>, period: usize, surrogate: Surrogate) -> Quantizer<'_> {
    match state {
        FreezeState::Open => Quantizer::open(period),
        FreezeState::Freezing(mask) => Quantizer::freezing(period, &mask.0, surrogate),
        FreezeState::Committed => Quantizer::committed(period, surrogate),
    }
}

impl BinaryBackend for Cuda {
    fn quantize<S: Shape>(
        &self,
        state: &FreezeState,
        period: usize,
        u: &Tensor<S, f32, Self>,
    ) -> Result<Tensor<S, f32, Self>, CudaError> {
        let state = state.try_map(on_device)?;
        // No gradient is asked for here.
        let quantizer = quantizer(&state, period, Surrogate::Blocked);
        filled(self, *u.shape(), |out| gpu()?.quantize(quantizer, values(u), out))
    }

    fn quantize_backward<S: Shape>(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: &Tensor<S, f32, Self>,
        gout: &Buffer<Self>,
        gu: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        let state = state.try_map(on_device)?;
        let quantizer = quantizer(&state, period, surrogate);
        on_gpu(|gpu| gpu.quantize_backward(quantizer, values(u), Floats::of(gout), FloatsMut::of(gu)))
    }

    fn norm_quantize<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        let state = of.quantizer.state().try_map(on_device)?;
        let quantizer = quantizer(&state, of.quantizer.entries(), of.quantizer.surrogate());
        let norm = normalization(of.moments, of.scale, of.shift);
        filled(self, out, |y| {
            gpu()?.norm_quantize(&of.shape, norm, quantizer, Floats::of(x), residual.map(values), y)
        })
    }

    fn norm_quantize_backward<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        gout: &Buffer<Self>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        let state = of.quantizer.state().try_map(on_device)?;
        let quantizer = quantizer(&state, of.quantizer.entries(), of.quantizer.surrogate());
        let norm = normalization(of.moments, of.scale, of.shift);
        let gradients = NormGradients {
            x: Some(FloatsMut::of(gradients.input)),
            add_to_x: false,
            residual: gradients.residual.map(FloatsMut::of),
            scale: FloatsMut::of(gradients.scale),
            shift: FloatsMut::of(gradients.shift),
        };
        let (x, residual, gout) = (Floats::of(x), residual.map(values), Floats::of(gout));
        on_gpu(|gpu| gpu.norm_backward(&of.shape, norm, Some(quantizer), x, residual, gout, gradients))
    }

    /// Shared, because layers are cloned.
    type Signs = Arc<Signs>;

    fn signs<O: Dim, I: Dim, K: Dim>(&self, w: &Tensor<(O, I, K, K), f32, Self>) -> Result<Arc<Signs>, CudaError> {
        let (outputs, inputs, kernel, _) = *w.shape();
        let sizes = (outputs.size(), inputs.size(), kernel.size());
        on_gpu(|gpu| gpu.signs(sizes, values(w)).map(Arc::new))
    }

    fn sign_conv2d<X: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Arc<Signs>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        filled(self, out, |y| gpu()?.sign_conv2d(shape, values(x), w, y))
    }

    fn sign_conv2d_into<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Arc<Signs>,
        out: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.sign_conv2d(shape, values(x), w, FloatsMut::of(out)))
    }
}
