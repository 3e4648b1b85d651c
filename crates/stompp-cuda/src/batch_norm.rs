//! Batch norm, alone or followed by a residual addition and a quantizer.

use crate::{
    Floats, FloatsMut, Gpu, GpuError, Quantizer,
    launch::{Argument, launch, size},
    memory::check_length,
    sums::{BatchSums, Shares},
};
use std::ops::Range;
use stompp_kernels::ChannelShape;

/// The sizes of a tensor with channels. `Channels` in the kernels' sources.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Channels {
    batch: u32,
    channels: u32,
    inner: u32,
}

// SAFETY: laid out as the kernels' struct.
unsafe impl Argument for Channels {
    const TYPE: &'static str = "Channels";
}

impl Channels {
    fn new(s: &ChannelShape) -> Self {
        size(s.len());
        Self {
            batch: size(s.batch),
            channels: size(s.channels),
            inner: size(s.inner),
        }
    }

    /// The sizes of some of the images.
    fn of_images(self, images: usize) -> Self {
        Self {
            batch: size(images),
            ..self
        }
    }
}

/// The parameters of a batch norm, (C,) each.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormParams<'a> {
    /// Mean.
    pub mean: Floats<'a>,
    /// `1 / sqrt(variance + eps)`.
    pub inv_std: Floats<'a>,
    /// Scale.
    pub scale: Floats<'a>,
    /// Shift.
    pub shift: Floats<'a>,
}

/// The addresses of a batch norm's parameters. `Norm` in the kernels' sources.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Norm([u64; 4]);

// SAFETY: laid out as the kernels' struct.
unsafe impl Argument for Norm {
    const TYPE: &'static str = "Norm";
}

impl BatchNormParams<'_> {
    fn argument(&self, s: &ChannelShape) -> Norm {
        let parts = [
            ("mean", self.mean),
            ("inv_std", self.inv_std),
            ("scale", self.scale),
            ("shift", self.shift),
        ];
        Norm(parts.map(|(name, part)| {
            check_length(name, part.len(), s.channels);
            part.address()
        }))
    }
}

/// Output buffers for the moments of a batch, (C,) each.
#[derive(Debug)]
pub struct Moments<'a> {
    /// Mean.
    pub mean: FloatsMut<'a>,
    /// Biased variance.
    pub variance: FloatsMut<'a>,
    /// `1 / sqrt(variance + eps)`.
    pub inv_std: FloatsMut<'a>,
}

/// Output buffers for the gradients of a batch norm.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// Gradient of the input; `None` if it is not needed.
    pub x: Option<FloatsMut<'a>>,
    /// Whether to add to `x` (true) or to overwrite it (false).
    pub add_to_x: bool,
    /// Gradient of the residual, accumulated; `None` if it is not needed.
    pub residual: Option<FloatsMut<'a>>,
    /// Gradient of the scale, (C,), accumulated.
    pub scale: FloatsMut<'a>,
    /// Gradient of the shift, (C,), accumulated.
    pub shift: FloatsMut<'a>,
}

impl Gpu {
    /// Computes the moments of `x`, (N, C, inner), per channel, over the whole batch. Sums in f64.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation, a copy or a launch fails.
    pub fn moments(
        &self,
        s: &ChannelShape,
        sums: &BatchSums<'_>,
        eps: f32,
        x: Floats<'_>,
        out: Moments<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), s.len());
        check_length("mean", out.mean.len(), s.channels);
        check_length("variance", out.variance.len(), s.channels);
        check_length("inv_std", out.inv_std.len(), s.channels);
        let channels = Channels::new(s);
        let of_slice = |images: &Range<usize>, shares: &Shares| {
            let grid = (channels.channels, shares.count);
            let x = x.of_images(images, s.channels * s.inner);
            let channels = channels.of_images(images.len());
            launch!(self, "channel_moments", grid, channels, x, shares.parts)
        };
        let Shares { count, parts } = self.pair_sums(sums, (s.channels, s.batch, s.inner), of_slice)?;
        let Moments {
            mean,
            variance,
            inv_std,
        } = out;
        let grid = self.grid(channels.channels);
        let (channels, values) = (channels.channels, sums.values_of_channel(s));
        launch!(
            self,
            "channel_moments_finish",
            grid,
            channels,
            values,
            count,
            eps,
            parts,
            mean,
            variance,
            inv_std
        )
    }

    /// Updates a running mean with the mean of a batch: `r += momentum (mean - r)`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn update_running_mean(
        &self,
        s: &ChannelShape,
        momentum: f32,
        mean: Floats<'_>,
        running: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        self.update_running(s, momentum, 1.0, mean, running)
    }

    /// Updates a running variance with the unbiased variance of a batch. `variance` is the biased variance.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn update_running_variance(
        &self,
        s: &ChannelShape,
        momentum: f32,
        variance: Floats<'_>,
        running: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        let n = (s.batch * s.inner) as f32;
        // A single value has no unbiased variance. The biased variance, zero, is used instead.
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        self.update_running(s, momentum, unbiased, variance, running)
    }

    fn update_running(
        &self,
        s: &ChannelShape,
        momentum: f32,
        factor: f32,
        batch: Floats<'_>,
        running: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("the batch's statistic", batch.len(), s.channels);
        check_length("the running statistic", running.len(), s.channels);
        let channels = size(s.channels);
        launch!(
            self,
            "follow",
            self.grid(channels),
            channels,
            momentum,
            factor,
            batch,
            running
        )
    }

    /// Computes `1 / sqrt(variance + eps)`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn inverse_deviation(&self, eps: f32, variance: Floats<'_>, out: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("out", out.len(), variance.len());
        let channels = size(variance.len());
        launch!(
            self,
            "inverse_deviation",
            self.grid(channels),
            channels,
            eps,
            variance,
            out
        )
    }

    /// Computes `y = (x - mean) inv_std scale + shift`, per channel.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn batch_norm(
        &self,
        s: &ChannelShape,
        norm: BatchNormParams<'_>,
        x: Floats<'_>,
        y: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), s.len());
        check_length("y", y.len(), s.len());
        let grid = self.grid(size(s.len()));
        launch!(self, "batch_norm", grid, Channels::new(s), norm.argument(s), x, y)
    }

    /// Computes `y = quantizer(batch_norm(x) + residual)`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn norm_quantize(
        &self,
        s: &ChannelShape,
        norm: BatchNormParams<'_>,
        quantizer: Quantizer<'_>,
        x: Floats<'_>,
        residual: Option<Floats<'_>>,
        y: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), s.len());
        check_length("y", y.len(), s.len());
        check_residual(s, residual.as_ref().map(Floats::len));
        quantizer.check(s.len());
        let grid = self.grid(size(s.len()));
        let channels = Channels::new(s);
        launch!(
            self,
            "norm_quantize",
            grid,
            channels,
            norm.argument(s),
            quantizer,
            x,
            residual,
            y
        )
    }

    /// Computes the gradients of [`Gpu::norm_quantize`], or of [`Gpu::batch_norm`] without `quantizer`. They include the gradients
    /// through the moments of `x`, which are those of the whole batch.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation, a copy or a launch fails.
    #[allow(clippy::too_many_arguments)] // the arguments of the forward pass, and the gradients
    pub fn norm_backward(
        &self,
        s: &ChannelShape,
        sums: &BatchSums<'_>,
        norm: BatchNormParams<'_>,
        quantizer: Option<Quantizer<'_>>,
        x: Floats<'_>,
        residual: Option<Floats<'_>>,
        gout: Floats<'_>,
        gradients: NormGradients<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), s.len());
        check_length("gout", gout.len(), s.len());
        check_residual(s, residual.as_ref().map(Floats::len));
        check_residual(s, gradients.residual.as_ref().map(FloatsMut::len));
        check_length("gscale", gradients.scale.len(), s.channels);
        check_length("gshift", gradients.shift.len(), s.channels);
        let quantizer = quantizer.unwrap_or(Quantizer::NONE);
        quantizer.check(s.len());
        let (channels, norm) = (Channels::new(s), norm.argument(s));
        // SAFETY: a kernel writes it before the next kernel reads it.
        let means = unsafe { self.device.alloc::<f32>(s.channels * 2) }?;
        let NormGradients {
            x: gx,
            add_to_x,
            residual: mut gresidual,
            scale: gscale,
            shift: gshift,
        } = gradients;
        let of_slice = |images: &Range<usize>, shares: &Shares| {
            let grid = (channels.channels, shares.count);
            let image = s.channels * s.inner;
            let channels = channels.of_images(images.len());
            let (x, gout) = (x.of_images(images, image), gout.of_images(images, image));
            let residual = residual.map(|residual| residual.of_images(images, image));
            let gresidual = gresidual.as_mut().map(|gresidual| gresidual.of_images(images, image));
            let parts = &shares.parts;
            launch!(
                self,
                "norm_gradient_sums",
                grid,
                channels,
                norm,
                quantizer,
                x,
                residual,
                gout,
                gresidual,
                *parts
            )
        };
        let Shares { count, parts } = self.pair_sums(sums, (s.channels, s.batch, s.inner), of_slice)?;
        let (grid, values) = (self.grid(channels.channels), sums.values_of_channel(s));
        launch!(
            self,
            "norm_gradient_sums_finish",
            grid,
            channels.channels,
            values,
            count,
            parts,
            gscale,
            gshift,
            means
        )?;
        let Some(gx) = gx else { return Ok(()) };
        check_length("gx", gx.len(), s.len());
        let add = i32::from(add_to_x);
        let grid = self.grid(size(s.len()));
        launch!(
            self,
            "norm_gradient",
            grid,
            channels,
            norm,
            quantizer,
            add,
            means,
            x,
            residual,
            gout,
            gx
        )
    }
}

#[track_caller]
fn check_residual(s: &ChannelShape, len: Option<usize>) {
    check_length("residual", len.unwrap_or(s.len()), s.len());
}
