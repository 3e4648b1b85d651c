//! The CPU's kernels for quantizers and committed convolutions.

use crate::{BinaryBackend, FreezeState, NormQuantize, NormQuantizeGradients, Surrogate};
use dfdx::tensor::{Cpu, CpuError};
use stompp_kernels::{self as kernels, BatchNormParams, BatchNormQuantizeGradients, BitTensor, BitWeights, ConvShape};
use stompp_nn::{GradientTotals, backend::Buffer};

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
        op: &NormQuantize<'_, Self>,
        x: &[f32],
        residual: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<(), CpuError> {
        let state = kernel_state(op.quantizer.state());
        kernels::batch_norm_quantize_forward(&op.shape, x, normalization(op), residual, state, out);
        Ok(())
    }

    fn norm_quantize_backward(
        &self,
        op: &NormQuantize<'_, Self>,
        x: &mut Buffer<Self>,
        residual: Option<&[f32]>,
        gout: &[f32],
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        let (shape, norm) = (&op.shape, normalization(op));
        let (state, surrogate) = (kernel_state(op.quantizer.state()), op.quantizer.surrogate());
        let sums = op.reduction.gradient_sums(shape, |sums| {
            let slices = op.reduction.slices();
            kernels::batch_norm_quantize_backward_sums(shape, slices, x, norm, residual, state, surrogate, gout, sums);
        });
        kernels::batch_norm_quantize_backward(
            shape,
            sums.as_ref().map(GradientTotals::given),
            x,
            norm,
            residual,
            state,
            surrogate,
            gout,
            BatchNormQuantizeGradients {
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

fn normalization<'a>(op: &NormQuantize<'a, Cpu>) -> BatchNormParams<'a> {
    BatchNormParams {
        mean: &op.moments.mean,
        inv_std: &op.moments.inv_std,
        scale: op.scale,
        shift: op.shift,
    }
}

/// Converts the state to that of the kernels, with the words of its mask.
///
/// # Panics
/// If the mask is on a device that fails. The masks of a network on the CPU are on the host.
fn kernel_state(state: &FreezeState) -> FreezeState<&[u64]> {
    let words = state.try_map(|mask| mask.host().map(|mask| mask.words()));
    words.expect("a network on the host has its masks there")
}
