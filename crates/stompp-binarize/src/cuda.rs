//! The GPU's kernels for quantizers and committed convolutions.

use crate::{BinaryBackend, FreezeState, NormQuantize, NormQuantizeGradients, Surrogate};
use cudarc::driver::CudaSlice;
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{Cuda, CudaError, Tensor},
};
use std::sync::Arc;
use stompp_cuda::{Floats, FloatsMut, NormGradients, Quantizer, Signs};
use stompp_kernels::ConvShape;
use stompp_nn::{
    backend::Buffer,
    cuda::{failed, filled, gpu, normalization, values},
};

/// A freeze state with its mask, if it has one, in the device's memory.
enum OnDevice {
    Open,
    Freezing(CudaSlice<u64>),
    Committed,
}

impl OnDevice {
    fn of(state: &FreezeState) -> Result<Self, CudaError> {
        Ok(match state {
            FreezeState::Open => Self::Open,
            FreezeState::Freezing(mask) => Self::Freezing(gpu().upload_mask(mask.words()).map_err(failed)?),
            FreezeState::Committed => Self::Committed,
        })
    }

    fn quantizer(&self, period: usize, surrogate: Surrogate) -> Quantizer<'_> {
        match self {
            Self::Open => Quantizer::open(period),
            Self::Freezing(mask) => Quantizer::freezing(period, mask, surrogate),
            Self::Committed => Quantizer::committed(period, surrogate),
        }
    }
}

impl BinaryBackend for Cuda {
    fn quantize<S: Shape>(
        &self,
        state: &FreezeState,
        period: usize,
        u: &Tensor<S, f32, Self>,
    ) -> Result<Tensor<S, f32, Self>, CudaError> {
        let state = OnDevice::of(state)?;
        // No gradient is asked for here.
        let quantizer = state.quantizer(period, Surrogate::Blocked);
        filled(self, *u.shape(), |out| gpu().quantize(quantizer, values(u), out))
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
        let state = OnDevice::of(state)?;
        let quantizer = state.quantizer(period, surrogate);
        gpu()
            .quantize_backward(quantizer, values(u), Floats::of(gout), FloatsMut::of(gu))
            .map_err(failed)
    }

    fn norm_quantize<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        let state = OnDevice::of(of.quantizer.state())?;
        let quantizer = state.quantizer(of.quantizer.entries(), of.quantizer.surrogate());
        let norm = normalization(of.moments, of.scale, of.shift);
        filled(self, out, |y| {
            gpu().norm_quantize(&of.shape, norm, quantizer, Floats::of(x), residual.map(values), y)
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
        let state = OnDevice::of(of.quantizer.state())?;
        let quantizer = state.quantizer(of.quantizer.entries(), of.quantizer.surrogate());
        let norm = normalization(of.moments, of.scale, of.shift);
        let gradients = NormGradients {
            x: Some(FloatsMut::of(gradients.input)),
            add_to_x: false,
            residual: gradients.residual.map(FloatsMut::of),
            scale: FloatsMut::of(gradients.scale),
            shift: FloatsMut::of(gradients.shift),
        };
        let (x, residual, gout) = (Floats::of(x), residual.map(values), Floats::of(gout));
        gpu()
            .norm_backward(&of.shape, norm, Some(quantizer), x, residual, gout, gradients)
            .map_err(failed)
    }

    /// Shared, because layers are cloned.
    type Signs = Arc<Signs>;

    fn signs<O: Dim, I: Dim, K: Dim>(&self, w: &Tensor<(O, I, K, K), f32, Self>) -> Result<Arc<Signs>, CudaError> {
        let (outputs, inputs, kernel, _) = *w.shape();
        let sizes = (outputs.size(), inputs.size(), kernel.size());
        gpu().signs(sizes, values(w)).map(Arc::new).map_err(failed)
    }

    fn sign_conv2d<X: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Arc<Signs>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CudaError> {
        filled(self, out, |y| gpu().sign_conv2d(shape, values(x), w, y))
    }

    fn sign_conv2d_into<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Arc<Signs>,
        out: &mut Buffer<Self>,
    ) -> Result<(), CudaError> {
        gpu()
            .sign_conv2d(shape, values(x), w, FloatsMut::of(out))
            .map_err(failed)
    }
}
