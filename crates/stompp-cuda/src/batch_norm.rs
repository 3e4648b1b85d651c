//! Batch norm, alone or with a residual and a quantizer behind it.

use crate::{
    Floats, FloatsMut, Gpu, GpuError, Quantizer,
    launch::{Argument, launch, size},
    memory::check_length,
};
use stompp_kernels::ChannelShape;

/// `Channels` of the kernels' sources.
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
}

/// What a batch norm normalises by, (C,) each.
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

/// `Norm` of the kernels' sources: four addresses.
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

/// Where a batch's moments are put, (C,) each.
#[derive(Debug)]
pub struct Moments<'a> {
    /// Mean.
    pub mean: FloatsMut<'a>,
    /// Biased variance.
    pub variance: FloatsMut<'a>,
    /// `1 / sqrt(variance + eps)`.
    pub inv_std: FloatsMut<'a>,
}

/// Where the gradients of a batch norm are put.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// Of the input; `None` if nobody wants it.
    pub x: Option<FloatsMut<'a>>,
    /// Whether the input's is added to, or overwritten.
    pub add_to_x: bool,
    /// Of the residual, added to; `None` if nobody wants it.
    pub residual: Option<FloatsMut<'a>>,
    /// Of the scale, (C,), added to.
    pub scale: FloatsMut<'a>,
    /// Of the shift, (C,), added to.
    pub shift: FloatsMut<'a>,
}

impl Gpu {
    /// Moments of `x`, (N, C, inner), per channel, summed in double.
    ///
    /// # Errors
    /// The driver's.
    pub fn moments(&self, s: &ChannelShape, eps: f32, x: Floats<'_>, out: Moments<'_>) -> Result<(), GpuError> {
        check_length("x", x.len(), s.len());
        check_length("mean", out.mean.len(), s.channels);
        check_length("variance", out.variance.len(), s.channels);
        check_length("inv_std", out.inv_std.len(), s.channels);
        let channels = Channels::new(s);
        let splits = self.splits(channels.channels, channels.batch * channels.inner);
        // SAFETY: the first kernel writes all of it.
        let parts = unsafe { self.device.alloc::<f64>(s.channels * splits as usize * 2) }?;
        launch!(self, "channel_moments", (channels.channels, splits), channels, x, parts)?;
        let grid = self.grid(channels.channels);
        let Moments {
            mean,
            variance,
            inv_std,
        } = out;
        launch!(
            self,
            "channel_moments_finish",
            grid,
            channels,
            splits,
            eps,
            parts,
            mean,
            variance,
            inv_std
        )
    }

    /// Moves a running mean towards a batch's: `r += momentum (mean - r)`.
    ///
    /// # Errors
    /// The driver's.
    pub fn update_running_mean(
        &self,
        s: &ChannelShape,
        momentum: f32,
        mean: Floats<'_>,
        running: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        self.update_running(s, momentum, 1.0, mean, running)
    }

    /// Moves a running variance towards a batch's, which is taken as unbiased; `variance` is the biased one.
    ///
    /// # Errors
    /// The driver's.
    pub fn update_running_variance(
        &self,
        s: &ChannelShape,
        momentum: f32,
        variance: Floats<'_>,
        running: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        let n = (s.batch * s.inner) as f32;
        // A single value a channel has no unbiased variance; its biased one, zero, is all there is to follow.
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

    /// `1 / sqrt(variance + eps)`.
    ///
    /// # Errors
    /// The driver's.
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

    /// `y = (x - mean) inv_std scale + shift`, per channel.
    ///
    /// # Errors
    /// The driver's.
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

    /// `y = quantizer(batch norm of x + residual)`.
    ///
    /// # Errors
    /// The driver's.
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

    /// The gradients of [`Gpu::norm_quantize`], or of [`Gpu::batch_norm`] without `quantizer`, through the moments of `x` itself.
    ///
    /// # Errors
    /// The driver's.
    #[allow(clippy::too_many_arguments)] // what the forward pass had, and the gradients
    pub fn norm_backward(
        &self,
        s: &ChannelShape,
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
        let splits = self.splits(channels.channels, channels.batch * channels.inner);
        // SAFETY: each is written by one kernel before the next reads it.
        let (parts, means) = unsafe {
            let parts = self.device.alloc::<f64>(s.channels * splits as usize * 2)?;
            (parts, self.device.alloc::<f32>(s.channels * 2)?)
        };
        let NormGradients {
            x: gx,
            add_to_x,
            residual: gresidual,
            scale: gscale,
            shift: gshift,
        } = gradients;
        launch!(
            self,
            "norm_gradient_sums",
            (channels.channels, splits),
            channels,
            norm,
            quantizer,
            x,
            residual,
            gout,
            gresidual,
            parts
        )?;
        let grid = self.grid(channels.channels);
        launch!(
            self,
            "norm_gradient_sums_finish",
            grid,
            channels,
            splits,
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
