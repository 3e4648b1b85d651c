//! The training loss.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
    sums::BatchSums,
};

impl Gpu {
    /// Computes the mean cross-entropy of the whole batch, and its gradient with respect to `logits`, (N, classes), of this process's
    /// images, with `labels`, (N). `loss` has one entry. Label smoothing is the same as in [`stompp_kernels::cross_entropy`]. Waits for
    /// the device only if the batch is shared. If the whole batch is empty, `loss` is not changed.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation, a copy or a launch fails.
    ///
    /// # Panics
    /// Panics if a label is not below `classes`, `smoothing` is not in [0, 1], or a length does not match.
    #[allow(clippy::too_many_arguments)] // the arguments of the CPU's kernel, and how it adds
    pub fn cross_entropy(
        &self,
        classes: usize,
        logits: Floats<'_>,
        labels: &[usize],
        smoothing: f32,
        sums: &BatchSums<'_>,
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
        if sums.whole_batch == 0 {
            return Ok(());
        }
        let label = |&label: &usize| {
            assert!(label < classes, "label {label} of {classes} classes");
            size(label)
        };
        let labels: Vec<u32> = labels.iter().map(label).collect();
        let whole_batch = sums.whole_batch as f64;
        // SAFETY: the first kernel writes `losses` before the second reads it, which writes `rows`.
        let (losses, rows) = unsafe {
            let losses = self.device.alloc::<f64>(batch)?;
            (losses, self.device.alloc::<f64>(sums.slices.count())?)
        };
        if batch > 0 {
            // The driver reads pageable host memory before this call returns. It does not wait for earlier work.
            let labels = self.device.htod_copy(labels)?;
            let (batch, classes) = (size(batch), size(classes));
            launch!(
                self,
                "cross_entropy",
                self.grid(batch),
                batch,
                whole_batch,
                classes,
                smoothing,
                logits,
                labels,
                losses,
                gradient
            )?;
        }
        for (slice, images) in sums.slices.ranges(batch).iter().enumerate() {
            let (first, images) = (size(images.start), size(images.len()));
            launch!(self, "loss_sum", (1, 1), first, images, losses, size(slice), rows)?;
        }
        let sum = self.total(sums, 1, rows)?;
        launch!(self, "loss_mean", (1, 1), whole_batch, sum, loss)
    }
}
