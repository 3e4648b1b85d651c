//! The training loss.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};

impl Gpu {
    /// Computes the mean cross-entropy of `logits`, (N, classes), with `labels`, (N), and its gradient with respect to the logits. `loss`
    /// has one entry. Label smoothing is the same as in [`stompp_kernels::cross_entropy`]. Does not wait for the device. If the batch
    /// is empty, `loss` is not changed.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation, a copy or a launch fails.
    ///
    /// # Panics
    /// Panics if a label is not below `classes`, `smoothing` is not in [0, 1], or a length does not match.
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
        // The driver reads pageable host memory before this call returns. It does not wait for earlier work.
        let labels = self.device.htod_copy(labels)?;
        // SAFETY: the first kernel writes it before the second reads it.
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
