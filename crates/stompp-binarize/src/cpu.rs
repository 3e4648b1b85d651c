//! The CPU's quantizer kernels.

use crate::{BinaryBackend, FreezeState, Surrogate};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Cpu, CpuError, Tensor},
};
use stompp_kernels::{self as kernels, FreezeMask};
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
}

fn kernel_mask(state: &FreezeState) -> FreezeMask<'_> {
    match state {
        FreezeState::Open => FreezeMask::Open,
        FreezeState::Freezing(mask) => FreezeMask::Partial(mask.words()),
        FreezeState::Committed => FreezeMask::Committed,
    }
}
