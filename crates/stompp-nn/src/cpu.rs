//! The CPU backend: calls `stompp-kernels` on contiguous slices.

mod view;

use crate::{
    BatchReduction,
    backend::{Backend, BatchMoments, BatchNormGradients, Buffer, LinearGradients, LinearShape},
    reduction::GradientTotals,
    scratch::Scratch,
};
use dfdx::{
    shapes::Shape,
    tensor::{Cpu, CpuError, Storage, Tensor, ZerosTensor},
};
use std::cell::RefCell;
use stompp_kernels::{self as kernels, AdamStep, ChannelShape, ConvShape, LossShape, PoolShape, SgdStep, Slices};
use view::{values, values_mut};

/// Copies `values` to a raw buffer. Its memory comes from dfdx's cache, because it returns there when it is dropped: memory from
/// elsewhere would accumulate in the cache.
fn buffer(device: &Cpu, values: &[f32]) -> Result<Buffer<Cpu>, CpuError> {
    let mut buffer = Storage::<f32>::try_alloc_len(device, values.len())?;
    buffer.copy_from_slice(values);
    Ok(buffer)
}

thread_local! {
    /// Free buffers for reuse.
    static SCRATCH: RefCell<Scratch<Buffer<Cpu>>> = const { RefCell::new(Scratch::new()) };
}

impl Backend for Cpu {
    type Slice<'a> = &'a [f32];
    type SliceMut<'a> = &'a mut [f32];

    fn values<S: Shape>(tensor: &Tensor<S, f32, Self>) -> &[f32] {
        values(tensor)
    }

    fn slice(buffer: &Buffer<Self>) -> &[f32] {
        buffer
    }

    fn slice_mut(buffer: &mut Buffer<Self>) -> &mut [f32] {
        buffer
    }

    fn filled<S: Shape>(
        &self,
        shape: S,
        fill: impl FnOnce(&mut [f32]) -> Result<(), CpuError>,
    ) -> Result<Tensor<S, f32, Self>, CpuError> {
        let mut tensor = self.try_zeros_like(&shape)?;
        fill(values_mut(&mut tensor))?;
        Ok(tensor)
    }

    fn modify<S: Shape>(
        &self,
        tensor: &mut Tensor<S, f32, Self>,
        change: impl FnOnce(&mut [f32]) -> Result<(), CpuError>,
    ) -> Result<(), CpuError> {
        change(values_mut(tensor))
    }

    fn acquire(&self, len: usize) -> Result<Buffer<Self>, CpuError> {
        match SCRATCH.with_borrow_mut(|scratch| scratch.acquire(len)) {
            Some(buffer) => Ok(buffer),
            None => Storage::<f32>::try_alloc_len(self, len),
        }
    }

    fn release(&self, buffer: Buffer<Self>) {
        // A thread that is ending has already dropped its list; the buffer is then freed.
        let _ = SCRATCH.try_with(|scratch| scratch.borrow_mut().release(buffer.len(), buffer));
    }

    fn write(&self, values: &[f32], buffer: &mut Buffer<Self>) -> Result<(), CpuError> {
        buffer.copy_from_slice(values);
        Ok(())
    }

    fn conv2d(&self, shape: &ConvShape, _: Slices, x: &[f32], w: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        kernels::conv2d_forward(shape, x, w, y);
        Ok(())
    }

    fn conv2d_input_gradient(
        &self,
        shape: &ConvShape,
        _: Slices,
        w: &[f32],
        gy: &[f32],
        gx: &mut [f32],
    ) -> Result<(), CpuError> {
        kernels::conv2d_backward_input(shape, w, gy, gx);
        Ok(())
    }

    fn read(&self, buffer: &Buffer<Self>) -> Result<Vec<f32>, CpuError> {
        Ok(buffer.to_vec())
    }

    fn conv2d_weight_gradient(
        &self,
        shape: &ConvShape,
        slices: Slices,
        x: &[f32],
        gy: &[f32],
        gw: &mut [f32],
    ) -> Result<(), CpuError> {
        kernels::conv2d_backward_weight_in_slices(shape, slices, x, gy, gw);
        Ok(())
    }

    fn batch_moments(
        &self,
        shape: &ChannelShape,
        eps: f32,
        reduction: &BatchReduction,
        x: &[f32],
    ) -> Result<BatchMoments<Self>, CpuError> {
        let (mut mean, mut variance) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
        let mut sums = vec![[0.0; 2]; shape.channels];
        kernels::batch_norm_sums(shape, reduction.slices(), x, &mut sums);
        reduction.sum(sums.as_flattened_mut());
        let count = reduction.whole_batch(shape.batch) * shape.inner;
        kernels::batch_norm_moments(count, &sums, &mut mean, &mut variance);
        self.running_moments(eps, &mean, &variance)
    }

    fn running_moments(&self, eps: f32, mean: &[f32], variance: &[f32]) -> Result<BatchMoments<Self>, CpuError> {
        let inv_std: Vec<f32> = variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        Ok(BatchMoments {
            mean: buffer(self, mean)?,
            variance: buffer(self, variance)?,
            inv_std: buffer(self, &inv_std)?,
        })
    }

    fn update_running_mean(
        &self,
        _: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: &mut [f32],
    ) -> Result<(), CpuError> {
        update_running(momentum, 1.0, &moments.mean, running);
        Ok(())
    }

    fn update_running_variance(
        &self,
        shape: &ChannelShape,
        momentum: f32,
        moments: &BatchMoments<Self>,
        running: &mut [f32],
    ) -> Result<(), CpuError> {
        let n = (shape.batch * shape.inner) as f32;
        // A single value per channel has no unbiased variance; use its biased variance, zero.
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        update_running(momentum, unbiased, &moments.variance, running);
        Ok(())
    }

    fn batch_norm(
        &self,
        shape: &ChannelShape,
        moments: &BatchMoments<Self>,
        x: &[f32],
        scale: &[f32],
        shift: &[f32],
        y: &mut [f32],
    ) -> Result<(), CpuError> {
        kernels::batch_norm_forward(shape, x, &moments.mean, &moments.inv_std, scale, shift, y);
        Ok(())
    }

    fn batch_norm_backward(
        &self,
        shape: &ChannelShape,
        reduction: &BatchReduction,
        moments: &BatchMoments<Self>,
        x: &[f32],
        scale: &[f32],
        gy: &[f32],
        gradients: BatchNormGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        let BatchNormGradients {
            input,
            scale: gscale,
            shift: gshift,
        } = gradients;
        let sums = reduction.gradient_sums(shape, |sums| {
            kernels::batch_norm_backward_sums(shape, reduction.slices(), x, &moments.mean, gy, sums);
        });
        kernels::batch_norm_backward(
            shape,
            sums.as_ref().map(GradientTotals::given),
            x,
            &moments.mean,
            &moments.inv_std,
            scale,
            gy,
            input,
            gscale,
            gshift,
        );
        Ok(())
    }

    fn linear(
        &self,
        shape: &LinearShape,
        _: Slices,
        x: &[f32],
        w: &[f32],
        b: &[f32],
        y: &mut [f32],
    ) -> Result<(), CpuError> {
        kernels::linear_forward(shape.batch, shape.inputs, shape.outputs, x, w, b, y);
        Ok(())
    }

    fn linear_backward(
        &self,
        shape: &LinearShape,
        slices: Slices,
        x: &[f32],
        w: &[f32],
        gy: &[f32],
        gradients: LinearGradients<'_, Self>,
    ) -> Result<(), CpuError> {
        let LinearGradients { input, weight, bias } = gradients;
        let LinearShape { batch, inputs, outputs } = *shape;
        kernels::linear_backward(slices, batch, inputs, outputs, x, w, gy, input, weight, bias);
        Ok(())
    }

    fn global_average_pool(&self, shape: &ChannelShape, x: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        kernels::global_average_pool_forward(shape, x, y);
        Ok(())
    }

    fn global_average_pool_backward(&self, shape: &ChannelShape, gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        kernels::global_average_pool_backward(shape, gy, gx);
        Ok(())
    }

    type MaxIndices = Vec<u32>;

    fn max_pool(&self, shape: &PoolShape, x: &[f32], y: &mut [f32]) -> Result<Vec<u32>, CpuError> {
        let mut max_indices = vec![0; y.len()];
        kernels::max_pool_forward(shape, x, y, &mut max_indices);
        Ok(max_indices)
    }

    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        max_indices: &Vec<u32>,
        gy: &[f32],
        gx: &mut [f32],
    ) -> Result<(), CpuError> {
        kernels::max_pool_backward(shape, gy, max_indices, gx);
        Ok(())
    }

    fn average_pool(&self, shape: &PoolShape, x: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        kernels::average_pool_forward(shape, x, y);
        Ok(())
    }

    fn average_pool_backward(&self, shape: &PoolShape, gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        kernels::average_pool_backward(shape, gy, gx);
        Ok(())
    }

    fn relu(&self, x: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        kernels::relu_forward(x, y);
        Ok(())
    }

    fn relu_backward(&self, x: &[f32], gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        kernels::relu_backward(x, gy, gx);
        Ok(())
    }

    fn add(&self, a: &[f32], b: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        kernels::add_forward(a, b, y);
        Ok(())
    }

    fn accumulate(&self, source: &[f32], destination: &mut [f32]) -> Result<(), CpuError> {
        kernels::accumulate(destination, source);
        Ok(())
    }

    fn scale_accumulate(&self, factor: &[f32], source: &[f32], destination: &mut [f32]) -> Result<(), CpuError> {
        let factor = factor[0];
        for (d, s) in destination.iter_mut().zip(source) {
            *d += factor * s;
        }
        Ok(())
    }

    fn cross_entropy(
        &self,
        classes: usize,
        logits: &[f32],
        labels: &[usize],
        smoothing: f32,
        reduction: &BatchReduction,
        loss: &mut [f32],
        gradient: &mut [f32],
    ) -> Result<(), CpuError> {
        let shape = LossShape {
            batch: labels.len(),
            classes,
            whole_batch: reduction.whole_batch(labels.len()),
            slices: reduction.slices(),
        };
        let mut sum = [kernels::cross_entropy_sum(
            &shape,
            logits,
            labels,
            smoothing,
            Some(gradient),
        )];
        reduction.sum(&mut sum);
        loss[0] = (sum[0] / shape.whole_batch.max(1) as f64) as f32;
        Ok(())
    }

    fn scale(&self, factor: f32, buffer: &mut [f32]) -> Result<(), CpuError> {
        buffer.iter_mut().for_each(|value| *value *= factor);
        Ok(())
    }

    fn sgd_step(&self, step: &SgdStep, w: &mut [f32], velocity: &mut [f32], gradient: &[f32]) -> Result<(), CpuError> {
        kernels::sgd_momentum_step(step, w, velocity, gradient);
        Ok(())
    }

    fn adam_step(
        &self,
        step: &AdamStep,
        w: &mut [f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
        gradient: &[f32],
    ) -> Result<(), CpuError> {
        kernels::adam_step(step, w, first_moment, second_moment, gradient);
        Ok(())
    }

    type Norms = Vec<f64>;

    fn add_norm(&self, norms: &mut Vec<f64>, values: &[f32]) -> Result<(), CpuError> {
        norms.push(kernels::square_sum(values).sqrt());
        Ok(())
    }

    fn read_norms(&self, norms: Vec<f64>) -> Result<Vec<f64>, CpuError> {
        Ok(norms)
    }
}

/// Moves running statistics towards `factor` times a batch's.
fn update_running(momentum: f32, factor: f32, batch: &[f32], running: &mut [f32]) {
    for (r, b) in running.iter_mut().zip(batch) {
        *r += momentum * (factor * b - *r);
    }
}
