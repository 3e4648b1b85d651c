//! The CPU's kernels for quantizers and committed convolutions.

use crate::{BinaryBackend, FreezeState, NormQuantize, NormQuantizeGradients, Surrogate};
use dfdx::tensor::{Cpu, CpuError};
use stompp_kernels::{self as kernels, BatchNormParams, BatchNormQuantizeGradients, BitTensor, BitWeights, ConvShape};

impl BinaryBackend for Cpu {
    fn quantize(&self, state: &FreezeState, period: usize, u: &[f32], out: &mut [f32]) -> Result<(), CpuError> {
        kernels::quantize_forward(kernel_state(state), period, u, out);
        Ok(())
    }

    fn quantize_backward(
        &self,
        state: &FreezeState,
        surrogate: Surrogate,
        period: usize,
        u: &[f32],
        gout: &[f32],
        gu: &mut [f32],
    ) -> Result<(), CpuError> {
        kernels::quantize_backward(kernel_state(state), surrogate, period, u, gout, gu);
        Ok(())
    }

    fn norm_quantize(
        &self,
        of: &NormQuantize<'_, Self>,
        x: &[f32],
        residual: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<(), CpuError> {
        let state = kernel_state(of.quantizer.state());
        kernels::batch_norm_quantize_forward(&of.shape, x, normalization(of), residual, state, out);
        Ok(())
    }

    fn norm_quantize_backward(
        &self,
        of: &NormQuantize<'_, Self>,
        x: &[f32],
        residual: Option<&[f32]>,
        gout: &[f32],
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        kernels::batch_norm_quantize_backward(
            &of.shape,
            x,
            normalization(of),
            residual,
            kernel_state(of.quantizer.state()),
            of.quantizer.surrogate(),
            gout,
            BatchNormQuantizeGradients {
                x: gradients.input,
                residual: gradients.residual,
                scale: gradients.scale,
                shift: gradients.shift,
            },
        );
        Ok(())
    }

    type Signs = BitWeights;

    fn signs(&self, outputs: usize, inputs: usize, kernel: usize, w: &[f32]) -> Result<BitWeights, CpuError> {
        Ok(BitWeights::from_signs(outputs, inputs, kernel, w))
    }

    fn sign_conv2d(&self, s: &ConvShape, x: &[f32], w: &BitWeights, y: &mut [f32]) -> Result<(), CpuError> {
        let x = BitTensor::from_signs(s.batch, s.in_channels, s.in_height, s.in_width, x);
        kernels::xnor_conv2d(s.stride, s.padding, &x, w, y);
        Ok(())
    }
}

fn normalization<'a>(of: &NormQuantize<'a, Cpu>) -> BatchNormParams<'a> {
    BatchNormParams {
        mean: &of.moments.mean,
        inv_std: &of.moments.inv_std,
        scale: of.scale,
        shift: of.shift,
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
