//! The training loss.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};

impl Gpu {
    /// Mean cross-entropy of `logits`, (N, classes), against `labels`, (N), and its gradient by the logits. Waits for the value.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn cross_entropy(
        &self,
        classes: usize,
        logits: Floats<'_>,
        labels: &[usize],
        gradient: FloatsMut<'_>,
    ) -> Result<f32, GpuError> {
        let batch = labels.len();
        check_length("logits", logits.len(), batch * classes);
        check_length("gradient", gradient.len(), batch * classes);
        if batch == 0 {
            return Ok(0.0);
        }
        let label = |&label: &usize| {
            assert!(label < classes, "label {label} of {classes} classes");
            size(label)
        };
        let labels: Vec<u32> = labels.iter().map(label).collect();
        let labels = self.device.htod_sync_copy(&labels)?;
        // SAFETY: each is written by one kernel before it is read.
        let (losses, loss) = unsafe { (self.device.alloc::<f64>(batch)?, self.device.alloc::<f32>(1)?) };
        let (batch, classes) = (size(batch), size(classes));
        launch!(
            self,
            "cross_entropy",
            self.grid(batch),
            batch,
            classes,
            logits,
            labels,
            losses,
            gradient
        )?;
        launch!(self, "mean_loss", (1, 1), batch, losses, loss)?;
        Ok(self.device.dtoh_sync_copy(&loss)?[0])
    }
}
