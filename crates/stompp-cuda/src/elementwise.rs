//! Work on single elements.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};
use cudarc::driver::result::memcpy_dtod_async;
use stompp_kernels::{AdamStep, SgdStep};

impl Gpu {
    /// `destination = source`.
    ///
    /// # Errors
    /// The driver's.
    pub fn copy(&self, source: Floats<'_>, destination: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("destination", destination.len(), source.len());
        self.device.bind_to_thread()?;
        let bytes = 4 * source.len();
        let span = self.start_span(|| "copy".to_owned())?;
        // SAFETY: both have as many bytes, and nobody else has the destination.
        unsafe { memcpy_dtod_async(destination.address(), source.address(), bytes, *self.device.cu_stream()) }?;
        self.end_span(span)
    }

    /// `y = max(x, 0)`.
    ///
    /// # Errors
    /// The driver's.
    pub fn relu(&self, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("y", y.len(), x.len());
        let n = size(x.len());
        launch!(self, "relu", self.grid(n), n, x, y)
    }

    /// `gx += gy` where `x > 0`.
    ///
    /// # Errors
    /// The driver's.
    pub fn relu_backward(&self, x: Floats<'_>, gy: Floats<'_>, gx: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("gy", gy.len(), x.len());
        check_length("gx", gx.len(), x.len());
        let n = size(x.len());
        launch!(self, "relu_backward", self.grid(n), n, x, gy, gx)
    }

    /// `y = a + b`.
    ///
    /// # Errors
    /// The driver's.
    pub fn add(&self, a: Floats<'_>, b: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("b", b.len(), a.len());
        check_length("y", y.len(), a.len());
        let n = size(a.len());
        launch!(self, "add", self.grid(n), n, a, b, y)
    }

    /// `destination += source`.
    ///
    /// # Errors
    /// The driver's.
    pub fn accumulate(&self, source: Floats<'_>, destination: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("destination", destination.len(), source.len());
        let n = size(source.len());
        launch!(self, "accumulate", self.grid(n), n, source, destination)
    }

    /// `destination += factor * source`; the factor is a single number.
    ///
    /// # Errors
    /// The driver's.
    pub fn scale_accumulate(
        &self,
        factor: Floats<'_>,
        source: Floats<'_>,
        destination: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("factor", factor.len(), 1);
        check_length("destination", destination.len(), source.len());
        let n = size(source.len());
        launch!(self, "scale_accumulate", self.grid(n), n, factor, source, destination)
    }

    /// `x *= factor`.
    ///
    /// # Errors
    /// The driver's.
    pub fn scale(&self, factor: f32, x: FloatsMut<'_>) -> Result<(), GpuError> {
        let n = size(x.len());
        launch!(self, "scale", self.grid(n), n, factor, x)
    }

    /// One step of SGD with momentum, as [`stompp_kernels::sgd_momentum_step`] takes it.
    ///
    /// # Errors
    /// The driver's.
    pub fn sgd_step(&self, step: &SgdStep, w: FloatsMut<'_>, v: FloatsMut<'_>, g: Floats<'_>) -> Result<(), GpuError> {
        check_length("v", v.len(), w.len());
        check_length("g", g.len(), w.len());
        let n = size(w.len());
        let SgdStep {
            learning_rate: rate,
            momentum,
            weight_decay,
            bound,
        } = *step;
        let bound = bound.unwrap_or(f32::INFINITY);
        launch!(
            self,
            "sgd_step",
            self.grid(n),
            n,
            rate,
            momentum,
            weight_decay,
            bound,
            w,
            v,
            g
        )
    }

    /// One step of Adam, as [`stompp_kernels::adam_step`] takes it.
    ///
    /// # Errors
    /// The driver's.
    pub fn adam_step(
        &self,
        step: &AdamStep,
        w: FloatsMut<'_>,
        m: FloatsMut<'_>,
        s: FloatsMut<'_>,
        g: Floats<'_>,
    ) -> Result<(), GpuError> {
        check_length("m", m.len(), w.len());
        check_length("s", s.len(), w.len());
        check_length("g", g.len(), w.len());
        let n = size(w.len());
        let AdamStep {
            step_size,
            first_rate,
            beta2,
            second_rate,
            correction,
            epsilon,
            weight_decay,
            bound,
        } = *step;
        let bound = bound.unwrap_or(f32::INFINITY);
        launch!(
            self,
            "adam_step",
            self.grid(n),
            n,
            step_size,
            first_rate,
            beta2,
            second_rate,
            correction,
            epsilon,
            weight_decay,
            bound,
            w,
            m,
            s,
            g
        )
    }
}
