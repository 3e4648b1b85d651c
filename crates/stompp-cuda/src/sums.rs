//! Sums over the images of a batch: in slices, and over the processes that share the batch.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
};
use cudarc::driver::CudaSlice;
use std::{fmt, ops::Range};
use stompp_kernels::{ChannelShape, Slices};

/// A function that replaces sums by those of all processes.
pub type Exchange<'a> = &'a dyn Fn(&mut [f64]);

/// How sums over the images of a batch are computed.
#[derive(Clone, Copy)]
pub struct BatchSums<'a> {
    /// The slices of this process's images.
    pub slices: Slices,
    /// Images of the whole batch, of which this process may have a part.
    pub whole_batch: usize,
    /// Replaces the sums of this process's images by those of the whole batch; `None` if this process has the whole batch.
    pub exchange: Option<Exchange<'a>>,
}

impl fmt::Debug for BatchSums<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchSums")
            .field("slices", &self.slices)
            .field("whole_batch", &self.whole_batch)
            .field("shared", &self.exchange.is_some())
            .finish()
    }
}

impl BatchSums<'_> {
    /// The sums of a process that has the whole batch of `images` images, in one slice.
    pub fn alone(images: usize) -> Self {
        Self {
            slices: Slices::ONE,
            whole_batch: images,
            exchange: None,
        }
    }

    /// Number of values of a channel in the whole batch.
    pub(crate) fn values_of_channel(&self, s: &ChannelShape) -> f64 {
        self.whole_batch as f64 * s.inner as f64
    }
}

/// Pairs of sums, each in a number of shares that are still to be added: (lines, shares, 2).
#[derive(Debug)]
pub(crate) struct Shares {
    pub(crate) count: u32,
    pub(crate) parts: CudaSlice<f64>,
}

impl Gpu {
    /// Computes `lines` pairs of sums over the `batch` images. `launch_shares` launches the kernel that sums some of the images, into a
    /// number of shares for each pair. An image has `inner` summands for each pair.
    pub(crate) fn pair_sums(
        &self,
        sums: &BatchSums<'_>,
        (lines, batch, inner): (usize, usize, usize),
        mut launch_shares: impl FnMut(&Range<usize>, &Shares) -> Result<(), GpuError>,
    ) -> Result<Shares, GpuError> {
        let mut of_images = |images: &Range<usize>| {
            let count = self.splits(size(lines), size(images.len() * inner));
            // SAFETY: the kernel writes all of it.
            let parts = unsafe { self.device.alloc::<f64>(lines * count as usize * 2) }?;
            let shares = Shares { count, parts };
            launch_shares(images, &shares)?;
            Ok(shares)
        };
        if sums.slices == Slices::ONE && sums.exchange.is_none() {
            return of_images(&(0..batch));
        }
        // SAFETY: each row is written below before the rows are added.
        let rows = unsafe { self.device.alloc::<f64>(sums.slices.count() * lines * 2) }?;
        for (slice, images) in sums.slices.ranges(batch).iter().enumerate() {
            let Shares { count, parts } = of_images(images)?;
            let (grid, lines) = (self.grid(size(2 * lines)), size(lines));
            launch!(self, "add_shares", grid, lines, count, parts, size(slice), rows)?;
        }
        self.total(sums, 2 * lines, rows)
            .map(|parts| Shares { count: 1, parts })
    }

    /// Adds the rows, (slices, width), in pairs, and then over all processes. The sums are at the start of the result.
    pub(crate) fn total(
        &self,
        sums: &BatchSums<'_>,
        width: usize,
        rows: CudaSlice<f64>,
    ) -> Result<CudaSlice<f64>, GpuError> {
        let (grid, slices) = (self.grid(size(width)), size(sums.slices.count()));
        launch!(self, "add_slices", grid, size(width), slices, rows)?;
        let Some(exchange) = sums.exchange else {
            return Ok(rows);
        };
        let mut own = self.device.dtoh_sync_copy(&rows)?;
        own.truncate(width);
        exchange(&mut own);
        Ok(self.device.htod_sync_copy(&own)?)
    }

    /// Adds to `total` the sum over the slices of `batch` images, in pairs. `add_images` adds the sum over some of the images to a slice
    /// of the length of `total`.
    pub(crate) fn add_in_slices(
        &self,
        slices: Slices,
        batch: usize,
        total: FloatsMut<'_>,
        mut add_images: impl FnMut(&Range<usize>, FloatsMut<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        if slices == Slices::ONE {
            return add_images(&(0..batch), total);
        }
        let sum = self.sum_of_slices(&slices.ranges(batch), total.len(), &mut add_images)?;
        self.accumulate(Floats::new(&sum), total)
    }

    /// The sum over the images of `slices`, in pairs.
    fn sum_of_slices(
        &self,
        slices: &[Range<usize>],
        len: usize,
        add_images: &mut impl FnMut(&Range<usize>, FloatsMut<'_>) -> Result<(), GpuError>,
    ) -> Result<CudaSlice<f32>, GpuError> {
        if let [images] = slices {
            let mut sum = self.device.alloc_zeros::<f32>(len)?;
            if !images.is_empty() {
                add_images(images, FloatsMut::new(&mut sum))?;
            }
            return Ok(sum);
        }
        let (first, second) = slices.split_at(slices.len() / 2);
        let mut sum = self.sum_of_slices(first, len, add_images)?;
        let other = self.sum_of_slices(second, len, add_images)?;
        self.accumulate(Floats::new(&other), FloatsMut::new(&mut sum))?;
        Ok(sum)
    }
}

/// The slices of a batch that have images.
pub(crate) fn nonempty(slices: Slices, batch: usize) -> impl Iterator<Item = Range<usize>> {
    slices.ranges(batch).into_iter().filter(|images| !images.is_empty())
}
