//! The training loss.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};

impl Gpu {
    /// Mean cross-entropy of `logits`, (N, classes), against `labels`, (N), as the one entry of `loss`, and its gradient by the
    /// logits; with label smoothing as [`stompp_kernels::cross_entropy`] has it. Nothing waits for the device; without a row `loss` is
    /// left as it was.
    ///
    /// # Errors
    /// If an allocation, a copy or a launch fails.
    ///
    /// # Panics
    /// If a label is not below `classes`, or `smoothing` is not in [0, 1].
    pub fn cross_entropy(
        &self,
        classes: usize,
        logits: Floats<'_>,
        labels: &[usize],
        smoothing: f32,
        loss: FloatsMut<'_>,
        gradient: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        assert!(
            (0.0..=1.0).contains(&smoothing),
            "label smoothing {smoothing} is not in [0, 1]"
        );
        let batch = labels.len();
        check_length("logits", logits.len(), batch * classes);
        check_length("loss", loss.len(), 1);
        check_length("gradient", gradient.len(), batch * classes);
        if batch == 0 {
            return Ok(());
        }
        let label = |&label: &usize| {
            assert!(label < classes, "label {label} of {classes} classes");
            size(label)
        };
        let labels: Vec<u32> = labels.iter().map(label).collect();
        // The driver reads ordinary host memory before this returns; it does not wait for what was queued before.
        let labels = self.device.htod_copy(labels)?;
        // SAFETY: written by one kernel before the next reads it.
        let losses = unsafe { self.device.alloc::<f64>(batch) }?;
        let (batch, classes) = (size(batch), size(classes));
        launch!(
            self,
            "cross_entropy",
            self.grid(batch),
            batch,
            classes,
            smoothing,
            logits,
            labels,
            losses,
            gradient
        )?;
        launch!(self, "mean_loss", (1, 1), batch, losses, loss)
    }
}
