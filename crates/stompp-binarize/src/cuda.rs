//! The GPU's kernels for quantizers and committed convolutions.

use crate::backend::DeviceMask;
use crate::{BinaryBackend, FreezeState, FreezingMask, NormQuantize, NormQuantizeGradients, Refresher, Surrogate};
use cudarc::driver::CudaSlice;
use dfdx::tensor::{Cuda, CudaError};
use std::{any::Any, sync::Arc};
use stompp_cuda::{Floats, FloatsMut, MaskChanges, NormGradients, Quantizer, Signs};
use stompp_kernels::ConvShape;
use stompp_nn::{
    Backend, DeviceError,
    backend::Buffer,
    cuda::{batch_norm_params, gpu, on_gpu, with_sums},
};
use stompp_rng::StreamKey;
use stompp_schedule::Refreshed;

/// A mask in the device's memory.
#[derive(Debug)]
struct CudaMask(CudaSlice<u64>);

impl DeviceMask for CudaMask {
    fn words(&self) -> Result<Vec<u64>, DeviceError> {
        on_gpu(|gpu| gpu.download_mask(&self.0)).map_err(DeviceError::new)
    }
}

/// Returns `mask` on the device.
fn on_device(mask: &FreezingMask) -> Result<Arc<CudaMask>, CudaError> {
    let mask: Arc<dyn Any + Send + Sync> = mask.device(|mask| {
        let words = on_gpu(|gpu| gpu.upload_mask(mask.words()))?;
        Ok::<Arc<dyn DeviceMask>, CudaError>(Arc::new(CudaMask(words)))
    })?;
    Ok(mask.downcast().expect("a process has masks on one kind of device"))
}

/// With fewer draws than this, the host is faster: it needs about 30 ns per draw, and the device about 30 us per refresh for its
/// launches and for reading the counts back.
const FEW_DRAWS: f64 = 1024.0;

impl Refresher for Cuda {
    fn refresh(&self, mask: &FreezingMask, p: f64, r: f64, key: &StreamKey) -> Option<(FreezingMask, Refreshed)> {
        let entries = mask.entries();
        if (entries as f64 / r) < FEW_DRAWS {
            return None;
        }
        // If the device fails, for example for lack of memory, the host draws the same mask. The next kernel reports a lasting error.
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

/// The kernels' description of a quantizer in `state`.
fn quantizer(state: &FreezeState<Arc<CudaMask>>, period: usize, surrogate: Surrogate) -> Quantizer<'_> {
    match state {
        FreezeState::Open => Quantizer::open(period),
        FreezeState::Freezing(mask) => Quantizer::freezing(period, &mask.0, surrogate),
        FreezeState::Committed => Quantizer::committed(period, surrogate),
    }
}

impl BinaryBackend for Cuda {
    fn quantize(&self, state: &FreezeState, period: usize, u: Floats<'_>, out: FloatsMut<'_>) -> Result<(), CudaError> {
        let state = state.try_map(on_device)?;
        // The forward pass does not use the surrogate.
        let quantizer = quantizer(&state, period, Surrogate::Blocked);
        on_gpu(|gpu| gpu.quantize(quantizer, u, out))
    }

    fn quantize_backward(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: Floats<'_>,
        gout: Floats<'_>,
        gu: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        let state = state.try_map(on_device)?;
        let quantizer = quantizer(&state, period, surrogate);
        on_gpu(|gpu| gpu.quantize_backward(quantizer, u, gout, gu))
    }

    fn norm_quantize(
        &self,
        op: &NormQuantize<'_, Self>,
        x: Floats<'_>,
        residual: Option<Floats<'_>>,
        out: FloatsMut<'_>,
    ) -> Result<(), CudaError> {
        let state = op.quantizer.state().try_map(on_device)?;
        let quantizer = quantizer(&state, op.quantizer.entries(), op.quantizer.surrogate());
        let norm = batch_norm_params(op.moments, op.scale, op.shift);
        on_gpu(|gpu| gpu.norm_quantize(&op.shape, norm, quantizer, x, residual, out))
    }

    fn norm_quantize_backward(
        &self,
        op: &NormQuantize<'_, Self>,
        x: &mut Buffer<Self>,
        residual: Option<Floats<'_>>,
        gout: Floats<'_>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), CudaError> {
        let state = op.quantizer.state().try_map(on_device)?;
        let quantizer = quantizer(&state, op.quantizer.entries(), op.quantizer.surrogate());
        let norm = batch_norm_params(op.moments, op.scale, op.shift);
        let mut gx = self.acquire(op.shape.len())?;
        let gradients = NormGradients {
            x: Some(Self::slice_mut(&mut gx)),
            add_to_x: false,
            residual: gradients.residual,
            scale: gradients.scale,
            shift: gradients.shift,
        };
        let input = Self::slice(x);
        with_sums(op.reduction, op.shape.batch, |sums| {
            on_gpu(|gpu| gpu.norm_backward(&op.shape, sums, norm, Some(quantizer), input, residual, gout, gradients))
        })?;
        self.release(std::mem::replace(x, gx));
        Ok(())
    }

    /// Shared, because layers are cloned.
    type Signs = Arc<Signs>;

    fn signs(&self, outputs: usize, inputs: usize, kernel: usize, w: Floats<'_>) -> Result<Arc<Signs>, CudaError> {
        on_gpu(|gpu| gpu.signs((outputs, inputs, kernel), w).map(Arc::new))
    }

    fn sign_conv2d(&self, shape: &ConvShape, x: Floats<'_>, w: &Arc<Signs>, y: FloatsMut<'_>) -> Result<(), CudaError> {
        on_gpu(|gpu| gpu.sign_conv2d(shape, x, w, y))
    }
}
