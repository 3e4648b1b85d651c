//! How sums over the images of a batch are computed: in slices, and over the processes that share the batch.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
mod buckets;

pub use buckets::GradientBuckets;

use stompp_kernels::{ChannelShape, GradientSums, Slices};
use stompp_parallel::{Collective, CollectiveError};

/// How a training pass computes sums over the images of a batch. Tapes carry it to the ops ([`Recording::reduction`]).
///
/// By default one process has the whole batch, in one slice. With more [slices](Slices), gradients and moments have the same bits
/// whether one process has the whole batch or several have parts of it.
///
/// [`Recording::reduction`]: crate::Recording::reduction
#[derive(Clone, Debug)]
pub struct BatchReduction {
    /// The slices of this process's images.
    slices: Slices,
    /// `None` if this process has the whole batch.
    group: Option<Group>,
}

/// The processes that share a batch.
#[derive(Clone, Debug)]
struct Group {
    collective: Arc<dyn Collective>,
    /// Images of the whole batch.
    images: usize,
    /// Whether batch norms use the moments of this process's images.
    local_batch_norm: bool,
    /// Nanoseconds that this process has waited for others.
    waited: Arc<AtomicU64>,
    /// The first error. Ops cannot return it, because a device's errors are of another type.
    error: Arc<Mutex<Option<CollectiveError>>>,
}

impl Default for BatchReduction {
    fn default() -> Self {
        Self::alone(Slices::ONE)
    }
}

impl BatchReduction {
    /// One process has the whole batch, in `slices`.
    pub fn alone(slices: Slices) -> Self {
        Self { slices, group: None }
    }

    /// The processes of `collective` share batches of `images` images. `slices` are those of this process's images. With
    /// `local_batch_norm`, batch norms use the moments of this process's images, otherwise those of the whole batch.
    pub fn shared(collective: Arc<dyn Collective>, slices: Slices, images: usize, local_batch_norm: bool) -> Self {
        let group = (collective.size() > 1).then(|| Group {
            collective,
            images,
            local_batch_norm,
            waited: Arc::default(),
            error: Arc::default(),
        });
        Self { slices, group }
    }

    /// The slices of this process's images.
    pub fn slices(&self) -> Slices {
        self.slices
    }

    /// The reduction for batch norms.
    pub fn of_batch_norms(&self) -> Self {
        match &self.group {
            Some(group) if group.local_batch_norm => Self::alone(self.slices),
            _ => self.clone(),
        }
    }

    /// Whether gradients of batch norms' parameters are already sums over all processes after the backward pass.
    pub fn batch_norm_gradients_are_complete(&self) -> bool {
        self.group.as_ref().is_none_or(|group| !group.local_batch_norm)
    }

    /// Whether this process has the whole batch, in one slice. Then devices need no sums of slices.
    pub fn is_plain(&self) -> bool {
        self.group.is_none() && self.slices == Slices::ONE
    }

    /// The number of images of the whole batch, of which this process has `images`.
    pub fn whole_batch(&self, images: usize) -> usize {
        self.group.as_ref().map_or(images, |group| group.images)
    }

    /// Replaces `values` by their sum over all processes. After an error they are not changed; [`BatchReduction::check`] returns it.
    pub fn sum(&self, values: &mut [f64]) {
        let Some(group) = &self.group else { return };
        if let Err(error) = self.wait_for(|| group.collective.sum(values)) {
            self.fail(error);
        }
    }

    /// Calls `wait` and counts its time as waiting for other processes.
    fn wait_for<T>(&self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = wait();
        if let Some(group) = &self.group {
            let nanoseconds = start.elapsed().as_nanos() as u64;
            group.waited.fetch_add(nanoseconds, Ordering::Relaxed);
        }
        result
    }

    /// Seconds that training passes of this process have waited for other processes.
    pub fn seconds_waited(&self) -> f64 {
        let nanoseconds = |group: &Group| group.waited.load(Ordering::Relaxed) as f64;
        self.group.as_ref().map_or(0.0, |group| nanoseconds(group) * 1e-9)
    }

    /// Keeps the first error for [`BatchReduction::check`].
    fn fail(&self, error: CollectiveError) {
        if let Some(group) = &self.group {
            let mut first = group.error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }

    /// Computes the sums for the gradients of a batch norm over the whole batch. `of_process` writes those of this process's images, one
    /// pair for each channel. `None` if the reduction is plain: then the kernel for the gradients computes them, which is faster.
    pub fn gradient_sums(
        &self,
        shape: &ChannelShape,
        of_process: impl FnOnce(&mut [[f64; 2]]),
    ) -> Option<GradientTotals> {
        if self.is_plain() {
            return None;
        }
        let mut sums = vec![[0.0; 2]; shape.channels];
        of_process(&mut sums);
        self.sum(sums.as_flattened_mut());
        Some(GradientTotals {
            sums,
            count: self.whole_batch(shape.batch) * shape.inner,
        })
    }

    /// The processes that share the batch; `None` if this process has it alone.
    pub fn collective(&self) -> Option<&Arc<dyn Collective>> {
        self.group.as_ref().map(|group| &group.collective)
    }

    /// Checks that all sums so far succeeded. If not, tensors have wrong values.
    ///
    /// # Errors
    /// Returns the first error.
    pub fn check(&self) -> Result<(), CollectiveError> {
        let first = |group: &Group| group.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.group.as_ref().and_then(first).map_or(Ok(()), Err)
    }
}

/// The sums of [`BatchReduction::gradient_sums`].
#[derive(Clone, Debug)]
pub struct GradientTotals {
    sums: Vec<[f64; 2]>,
    /// Elements of a channel in the whole batch.
    count: usize,
}

impl GradientTotals {
    /// The sums, as the kernels take them.
    pub fn given(&self) -> GradientSums<'_> {
        GradientSums {
            sums: &self.sums,
            count: self.count,
        }
    }
}
