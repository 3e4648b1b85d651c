//! The CPU backend: hands contiguous slices to `stompp-kernels`. Its helpers are public for ops written elsewhere.

mod view;

use crate::{
    backend::{Backend, BatchMoments, BatchNormGradients, Buffer, LinearGradients},
    scratch::Scratch,
};
use dfdx::{
    shapes::{Dim, HasShape, Shape},
    tensor::{Cpu, CpuError, Storage, Tensor, ZerosTensor},
};
use std::cell::RefCell;
use stompp_kernels::{self as kernels, AdamStep, ChannelShape, ConvShape, PoolShape, SgdStep};
pub use view::{values, values_mut};

/// A fresh tensor of shape `out` whose zeroed elements `fill` has written.
///
/// # Errors
/// The device's.
pub fn filled<Y: Shape>(device: &Cpu, out: Y, fill: impl FnOnce(&mut [f32])) -> Result<Tensor<Y, f32, Cpu>, CpuError> {
    let mut y = device.try_zeros_like(&out)?;
    fill(values_mut(&mut y));
    Ok(y)
}

/// A raw buffer holding `values`, without a tensor around it. Copied, so that its memory comes from dfdx's cache and can go back
/// there: what enters the cache from elsewhere would pile up.
fn buffer(device: &Cpu, values: &[f32]) -> Result<Buffer<Cpu>, CpuError> {
    let mut buffer = Storage::<f32>::try_alloc_len(device, values.len())?;
    buffer.copy_from_slice(values);
    Ok(buffer)
}

thread_local! {
    /// Buffers between one use and the next.
    static SCRATCH: RefCell<Scratch<Buffer<Cpu>>> = const { RefCell::new(Scratch::new()) };
}

impl Backend for Cpu {
    type Winners = Vec<u32>;

    fn conv2d<X: Shape, W: Shape, Y: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CpuError> {
        filled(self, out, |y| kernels::conv2d_forward(shape, values(x), values(w), y))
    }

    fn conv2d_into<X: Shape, W: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        w: &Tensor<W, f32, Self>,
        out: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::conv2d_forward(shape, values(x), values(w), out);
        Ok(())
    }

    fn acquire(&self, len: usize) -> Result<Buffer<Self>, CpuError> {
        match SCRATCH.with_borrow_mut(|scratch| scratch.acquire(len)) {
            Some(buffer) => Ok(buffer),
            None => Storage::<f32>::try_alloc_len(self, len),
        }
    }

    fn release(&self, buffer: Buffer<Self>) {
        // A thread that is ending has dropped its list; then the buffer is simply freed.
        let _ = SCRATCH.try_with(|scratch| scratch.borrow_mut().release(buffer.len(), buffer));
    }

    fn conv2d_input_gradient<W: Shape>(
        &self,
        shape: &ConvShape,
        w: &Tensor<W, f32, Self>,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::conv2d_backward_input(shape, values(w), gy, gx);
        Ok(())
    }

    fn conv2d_weight_gradient<X: Shape>(
        &self,
        shape: &ConvShape,
        x: &Tensor<X, f32, Self>,
        gy: &Buffer<Self>,
        gw: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::conv2d_backward_weight(shape, values(x), gy, gw);
        Ok(())
    }

    fn batch_moments<X: Shape>(
        &self,
        shape: &ChannelShape,
        eps: f32,
        x: &Tensor<X, f32, Self>,
    ) -> Result<BatchMoments<Self>, CpuError> {
        moments_of(self, shape, eps, values(x))
    }

    fn buffer_moments(&self, shape: &ChannelShape, eps: f32, x: &Buffer<Self>) -> Result<BatchMoments<Self>, CpuError> {
        moments_of(self, shape, eps, x)
    }

    fn batch_norm<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &Tensor<X, f32, Self>,
        scale: &Tensor<(C,), f32, Self>,
        shift: &Tensor<(C,), f32, Self>,
    ) -> Result<Tensor<X, f32, Self>, CpuError> {
        filled(self, *x.shape(), |y| {
            kernels::batch_norm_forward(
                shape,
                values(x),
                &moments.mean,
                &moments.inv_std,
                values(scale),
                values(shift),
                y,
            )
        })
    }

    fn batch_norm_backward<X: Shape, C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &Tensor<X, f32, Self>,
        scale: &Tensor<(C,), f32, Self>,
        gy: &Buffer<Self>,
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        kernels::batch_norm_backward(
            shape,
            values(x),
            &moments.mean,
            &moments.inv_std,
            values(scale),
            gy,
            gradients.input.map(|gx| gx.as_mut_slice()),
            gradients.scale,
            gradients.shift,
        );
        Ok(())
    }

    fn update_running<C: Dim>(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        momentum: f32,
        mean: &mut Tensor<(C,), f32, Self>,
        variance: &mut Tensor<(C,), f32, Self>,
    ) -> Result<(), CpuError> {
        let n = (shape.batch * shape.inner) as f32;
        // A single value a channel has no unbiased variance; its biased one, zero, is all there is to follow.
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        let follow = |running: &mut [f32], batch: &[f32], factor: f32| {
            for (r, b) in running.iter_mut().zip(batch) {
                *r += momentum * (factor * b - *r);
            }
        };
        follow(values_mut(mean), &moments.mean, 1.0);
        follow(values_mut(variance), &moments.variance, unbiased);
        Ok(())
    }

    fn running_moments<C: Dim>(
        &self,
        eps: f32,
        mean: &Tensor<(C,), f32, Self>,
        variance: &Tensor<(C,), f32, Self>,
    ) -> Result<BatchMoments<Self>, CpuError> {
        moments(self, eps, values(mean), values(variance))
    }

    fn linear<B: Dim, I: Dim, O: Dim>(
        &self,
        x: &Tensor<(B, I), f32, Self>,
        w: &Tensor<(O, I), f32, Self>,
        b: &Tensor<(O,), f32, Self>,
    ) -> Result<Tensor<(B, O), f32, Self>, CpuError> {
        let ((batch, inputs), (outputs, _)) = (*x.shape(), *w.shape());
        filled(self, (batch, outputs), |y| {
            kernels::linear_forward(
                batch.size(),
                inputs.size(),
                outputs.size(),
                values(x),
                values(w),
                values(b),
                y,
            )
        })
    }

    fn linear_backward<B: Dim, I: Dim, O: Dim>(
        &self,
        x: &Tensor<(B, I), f32, Self>,
        w: &Tensor<(O, I), f32, Self>,
        gy: &Buffer<Self>,
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        let ((batch, inputs), (outputs, _)) = (*x.shape(), *w.shape());
        kernels::linear_backward(
            batch.size(),
            inputs.size(),
            outputs.size(),
            values(x),
            values(w),
            gy,
            gradients.input.map(|gx| gx.as_mut_slice()),
            gradients.weight,
            gradients.bias,
        );
        Ok(())
    }

    fn global_average_pool<X: Shape, Y: Shape>(
        &self,
        shape: &ChannelShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CpuError> {
        filled(self, out, |y| kernels::global_average_pool_forward(shape, values(x), y))
    }

    fn global_average_pool_backward(
        &self,
        shape: &ChannelShape,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::global_average_pool_backward(shape, gy, gx);
        Ok(())
    }

    fn max_pool<X: Shape, Y: Shape>(
        &self,
        shape: &PoolShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<(Tensor<Y, f32, Self>, Self::Winners), CpuError> {
        let mut winners = vec![0; out.num_elements()];
        let y = filled(self, out, |y| {
            kernels::max_pool_forward(shape, values(x), y, &mut winners)
        })?;
        Ok((y, winners))
    }

    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        winners: &Self::Winners,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::max_pool_backward(shape, gy, winners, gx);
        Ok(())
    }

    fn average_pool<X: Shape, Y: Shape>(
        &self,
        shape: &PoolShape,
        x: &Tensor<X, f32, Self>,
        out: Y,
    ) -> Result<Tensor<Y, f32, Self>, CpuError> {
        filled(self, out, |y| kernels::average_pool_forward(shape, values(x), y))
    }

    fn average_pool_backward(
        &self,
        shape: &PoolShape,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::average_pool_backward(shape, gy, gx);
        Ok(())
    }

    fn relu<X: Shape>(&self, x: &Tensor<X, f32, Self>) -> Result<Tensor<X, f32, Self>, CpuError> {
        filled(self, *x.shape(), |y| kernels::relu_forward(values(x), y))
    }

    fn relu_backward<X: Shape>(
        &self,
        x: &Tensor<X, f32, Self>,
        gy: &Buffer<Self>,
        gx: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::relu_backward(values(x), gy, gx);
        Ok(())
    }

    fn add<X: Shape>(
        &self,
        a: &Tensor<X, f32, Self>,
        b: &Tensor<X, f32, Self>,
    ) -> Result<Tensor<X, f32, Self>, CpuError> {
        filled(self, *a.shape(), |y| kernels::add_forward(values(a), values(b), y))
    }

    fn accumulate(&self, source: &Buffer<Self>, destination: &mut Buffer<Self>) -> Result<(), CpuError> {
        kernels::accumulate(destination, source);
        Ok(())
    }

    fn cross_entropy<B: Dim, C: Dim>(
        &self,
        logits: &Tensor<(B, C), f32, Self>,
        labels: &[usize],
    ) -> Result<(Tensor<(), f32, Self>, Buffer<Self>), CpuError> {
        let (batch, classes) = *logits.shape();
        let mut gradient = vec![0.0; batch.size() * classes.size()];
        let loss = kernels::cross_entropy(
            batch.size(),
            classes.size(),
            values(logits),
            labels,
            Some(&mut gradient),
        );
        let loss = filled(self, (), |value| value[0] = loss)?;
        Ok((loss, buffer(self, &gradient)?))
    }

    fn scale_accumulate(
        &self,
        factor: &Buffer<Self>,
        source: &Buffer<Self>,
        destination: &mut Buffer<Self>,
    ) -> Result<(), CpuError> {
        let factor = factor[0];
        for (d, s) in destination.iter_mut().zip(source.iter()) {
            *d += factor * s;
        }
        Ok(())
    }

    fn sgd_step<S: Shape>(
        &self,
        step: &SgdStep,
        w: &mut Tensor<S, f32, Self>,
        velocity: &mut Buffer<Self>,
        gradient: &Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::sgd_momentum_step(step, values_mut(w), velocity, gradient);
        Ok(())
    }

    fn adam_step<S: Shape>(
        &self,
        step: &AdamStep,
        w: &mut Tensor<S, f32, Self>,
        first_moment: &mut Buffer<Self>,
        second_moment: &mut Buffer<Self>,
        gradient: &Buffer<Self>,
    ) -> Result<(), CpuError> {
        kernels::adam_step(step, values_mut(w), first_moment, second_moment, gradient);
        Ok(())
    }

    fn write(&self, values: &[f32], buffer: &mut Buffer<Self>) -> Result<(), CpuError> {
        buffer.copy_from_slice(values);
        Ok(())
    }

    type Norms = Vec<f64>;

    fn add_norm(&self, norms: &mut Vec<f64>, buffer: &Buffer<Self>) -> Result<(), CpuError> {
        norms.push(kernels::square_sum(buffer).sqrt());
        Ok(())
    }

    fn read_norms(&self, norms: Vec<f64>) -> Result<Vec<f64>, CpuError> {
        Ok(norms)
    }
}

fn moments_of(device: &Cpu, shape: &ChannelShape, eps: f32, x: &[f32]) -> Result<BatchMoments<Cpu>, CpuError> {
    let (mut mean, mut variance) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
    kernels::batch_norm_statistics(shape, x, &mut mean, &mut variance);
    moments(device, eps, &mean, &variance)
}

fn moments(device: &Cpu, eps: f32, mean: &[f32], variance: &[f32]) -> Result<BatchMoments<Cpu>, CpuError> {
    let inv_std: Vec<f32> = variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    Ok(BatchMoments {
        mean: buffer(device, mean)?,
        variance: buffer(device, variance)?,
        inv_std: buffer(device, &inv_std)?,
    })
}
