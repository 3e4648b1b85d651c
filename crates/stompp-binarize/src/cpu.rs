//! The CPU's kernels for quantizers and committed convolutions.

use crate::{BinaryBackend, FreezeState, NormQuantize, NormQuantizeGradients, Surrogate};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{Cpu, CpuError, Tensor},
};
use stompp_kernels::{
    self as kernels, BatchNormQuantizeGradients, BitTensor, BitWeights, ChannelShape, ConvShape, FreezeMask,
    Normalization,
};
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

    fn batch_norm_quantize<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        of: &NormQuantize<'_, C, Self>,
        x: &Tensor<X, f32, Self>,
        residual: Option<&Tensor<X, f32, Self>>,
    ) -> Result<Tensor<X, f32, Self>, CpuError> {
        filled(self, *x.shape(), |out| {
            kernels::batch_norm_quantize_forward(
                shape,
                values(x),
                normalization(of),
                residual.map(values),
                kernel_mask(of.state),
                out,
            )
        })
    }

    fn batch_norm_quantize_backward<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        of: &NormQuantize<'_, C, Self>,
        surrogate: Surrogate,
        x: &Tensor<X, f32, Self>,
        residual: Option<&Tensor<X, f32, Self>>,
        gout: &Buffer<Self>,
        gradients: NormQuantizeGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        kernels::batch_norm_quantize_backward(
            shape,
            values(x),
            normalization(of),
            residual.map(values),
            kernel_mask(of.state),
            surrogate,
            gout,
            BatchNormQuantizeGradients {
                x: gradients.input.map(|gx| gx.as_mut_slice()),
                residual: gradients.residual.map(|gresidual| gresidual.as_mut_slice()),
                scale: gradients.scale,
                shift: gradients.shift,
            },
        );
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

fn normalization<'a, C: Dim>(of: &'a NormQuantize<'_, C, Cpu>) -> Normalization<'a> {
    Normalization {
        mean: &of.moments.mean,
        inv_std: &of.moments.inv_std,
        scale: values(of.scale),
        shift: values(of.shift),
    }
}

fn kernel_mask(state: &FreezeState) -> FreezeMask<'_> {
    match state {
        FreezeState::Open => FreezeMask::Open,
        FreezeState::Freezing(mask) => FreezeMask::Partial(mask.words()),
        FreezeState::Committed => FreezeMask::Committed,
    }
}
