//! Elementwise operations.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};
use cudarc::driver::result::memcpy_dtod_async;
use stompp_kernels::{AdamStep, SgdStep};

impl Gpu {
    /// Copies `source` to `destination`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the copy fails.
    pub fn copy(&self, source: Floats<'_>, destination: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("destination", destination.len(), source.len());
        self.device.bind_to_thread()?;
        let bytes = 4 * source.len();
        let span = self.start_span(|| "copy".to_owned())?;
        // SAFETY: both have the same length, and `destination` is borrowed exclusively.
        unsafe { memcpy_dtod_async(destination.address(), source.address(), bytes, *self.device.cu_stream()) }?;
        self.end_span(span)
    }

    /// Computes `y = max(x, 0)`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn relu(&self, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("y", y.len(), x.len());
        let n = size(x.len());
        launch!(self, "relu", self.grid(n), n, x, y)
    }

    /// Computes `gx += gy` where `x > 0`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn relu_backward(&self, x: Floats<'_>, gy: Floats<'_>, gx: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("gy", gy.len(), x.len());
        check_length("gx", gx.len(), x.len());
        let n = size(x.len());
        launch!(self, "relu_backward", self.grid(n), n, x, gy, gx)
    }

    /// Computes `y = a + b`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn add(&self, a: Floats<'_>, b: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("b", b.len(), a.len());
        check_length("y", y.len(), a.len());
        let n = size(a.len());
        launch!(self, "add", self.grid(n), n, a, b, y)
    }

    /// Computes `destination += source`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn accumulate(&self, source: Floats<'_>, destination: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("destination", destination.len(), source.len());
        let n = size(source.len());
        launch!(self, "accumulate", self.grid(n), n, source, destination)
    }

    /// Computes `destination += factor * source`. `factor` has one entry.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
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

    /// Computes `x *= factor`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn scale(&self, factor: f32, x: FloatsMut<'_>) -> Result<(), GpuError> {
        let n = size(x.len());
        launch!(self, "scale", self.grid(n), n, factor, x)
    }

    /// Computes one step of SGD with momentum, as [`stompp_kernels::sgd_momentum_step`] does.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
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

    /// Computes one step of Adam, as [`stompp_kernels::adam_step`] does.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
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
