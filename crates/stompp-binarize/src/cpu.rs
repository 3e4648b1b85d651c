//! The CPU's kernels for quantizers and committed convolutions.

use crate::{BinaryBackend, FreezeState, NormQuantize, NormQuantizeGradients, Surrogate};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{Cpu, CpuError, Tensor},
};
use stompp_kernels::{self as kernels, BatchNormQuantizeGradients, BitTensor, BitWeights, ConvShape, Normalization};
use stompp_nn::{
    backend::Buffer,
    cpu::{filled, values},
};

impl BinaryBackend for Cpu {
    fn quantize<S: Shape>(
        &self,
        state: &FreezeState,
        period: usize,
        u: &Tensor<S, f32, Self>,
    ) -> Result<Tensor<S, f32, Self>, CpuError> {
        filled(self, *u.shape(), |out| {
            kernels::quantize_forward(kernel_state(state), period, values(u), out)
        })
    }

    fn quantize_backward<S: Shape>(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: &Tensor<S, f32, Self>,
        gout: &Buffer<Self>,
        gu: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::quantize_backward(kernel_state(state), surrogate, period, values(u), gout, gu);
        Ok(())
    }

    fn norm_quantize<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CpuError> {
        let state = kernel_state(of.quantizer.state());
        filled(self, out, |out| {
            kernels::batch_norm_quantize_forward(&of.shape, x, normalization(of), residual.map(values), state, out)
        })
    }

    fn norm_quantize_backward<Y: Shape, C: Dim>(
        &self,
        of: &NormQuantize<'_, C, Self>,
        x: &Buffer<Self>,
        residual: Option<&Tensor<Y, f32, Self>>,
        gout: &Buffer<Self>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        kernels::batch_norm_quantize_backward(
            &of.shape,
            x,
            normalization(of),
            residual.map(values),
            kernel_state(of.quantizer.state()),
            of.quantizer.surrogate(),
            gout,
            BatchNormQuantizeGradients {
                x: gradients.input,
                residual: gradients.residual.map(|gresidual| gresidual.as_mut_slice()),
                scale: gradients.scale,
                shift: gradients.shift,
            },
        );
        Ok(())
    }

    type Signs = BitWeights;

    fn signs<O: Dim, I: Dim, K: Dim>(&self, w: &Tensor<(O, I, K, K), f32, Self>) -> Result<BitWeights, CpuError> {
        let (outputs, inputs, kernel, _) = *w.shape();
        Ok(BitWeights::from_signs(
            outputs.size(),
            inputs.size(),
            kernel.size(),
            values(w),
        ))
    }

    fn sign_conv2d<X: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &BitWeights,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CpuError> {
        filled(self, out, |y| sign_conv2d(shape, values(x), w, y))
    }

    fn sign_conv2d_into<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &BitWeights,
        out: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        sign_conv2d(shape, values(x), w, out);
        Ok(())
    }
}

fn sign_conv2d(s: &ConvShape, x: &[f32], w: &BitWeights, y: &mut [f32]) {
    let x = BitTensor::from_signs(s.batch, s.in_channels, s.in_height, s.in_width, x);
    kernels::xnor_conv2d(s.stride, s.padding, &x, w, y);
}

fn normalization<'a, C: Dim>(of: &'a NormQuantize<'_, C, Cpu>) -> Normalization<'a> {
    Normalization {
        mean: &of.moments.mean,
        inv_std: &of.moments.inv_std,
        scale: values(of.scale),
        shift: values(of.shift),
    }
}

/// The state with its mask's words, as the kernels take it.
///
/// # Panics
/// If the mask is on a device that has failed. A network on the CPU has its masks on the host.
fn kernel_state(state: &FreezeState) -> FreezeState<&[u64]> {
    let words = state.try_map(|mask| mask.host().map(|mask| mask.words()));
    words.expect("a network on the host has its masks there")
}
