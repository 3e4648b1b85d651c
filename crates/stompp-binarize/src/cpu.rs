//! The CPU's kernels for quantizers and committed convolutions.

use crate::{BinaryBackend, FreezeState, Surrogate};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Cpu, CpuError, Tensor},
};
use stompp_kernels::{self as kernels, BitTensor, BitWeights, ConvShape, FreezeMask};
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
            kernels::quantize_forward(kernel_mask(state), period, values(u), out)
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
        kernels::quantize_backward(kernel_mask(state), surrogate, period, values(u), gout, gu);
        Ok(())
    }

    fn binary_conv2d<X: Shape, W: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CpuError> {
        let ConvShape {
            batch,
            in_channels,
            in_height,
            in_width,
            out_channels,
            kernel,
            ..
        } = *shape;
        filled(self, out, |y| {
            let x = BitTensor::from_signs(batch, in_channels, in_height, in_width, values(x));
            let w = BitWeights::from_signs(out_channels, in_channels, kernel, values(w));
            kernels::xnor_conv2d(shape.stride, shape.padding, &x, &w, y);
        })
    }
}

fn kernel_mask(state: &FreezeState) -> FreezeMask<'_> {
    match state {
        FreezeState::Open => FreezeMask::Open,
        FreezeState::Freezing(mask) => FreezeMask::Partial(mask.words()),
        FreezeState::Committed => FreezeMask::Committed,
    }
}
