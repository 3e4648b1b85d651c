//! Soft refresh of a mask in device memory.

use crate::{
    Gpu, GpuError,
    launch::{Argument, launch, size},
};
use cudarc::driver::{CudaSlice, DeviceSlice};

/// The key of a ChaCha8 stream. `Key` in the kernels' sources.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Key([u32; 8]);

// SAFETY: laid out as the kernels' struct.
unsafe impl Argument for Key {
    const TYPE: &'static str = "Key";
}

/// Counts of the entries that a refresh changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskChanges {
    /// Entries that were redrawn.
    pub redrawn: usize,
    /// Entries that became frozen.
    pub frozen: usize,
    /// Entries that became open.
    pub opened: usize,
}

impl Gpu {
    /// Computes one step of soft refresh of a mask with `entries` entries. Each entry is redrawn with probability `1/r` from
    /// Bernoulli(`p`). Returns the new mask; `mask` is not changed. Waits for the device.
    ///
    /// The bits equal those of `stompp_schedule::Mask::refresh` with the ChaCha8 stream of `key` from its beginning.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation, a copy or a launch fails.
    ///
    /// # Panics
    /// Panics if the number of words in `mask` is not `entries / 64`, rounded up.
    pub fn refresh_mask(
        &self,
        mask: &CudaSlice<u64>,
        entries: usize,
        p: f64,
        r: f64,
        key: [u8; 32],
    ) -> Result<(CudaSlice<u64>, MaskChanges), GpuError> {
        assert_eq!(
            mask.len(),
            entries.div_ceil(64),
            "the mask's words are not those of {entries} entries"
        );
        let (words, _) = key.as_chunks();
        let key = Key(std::array::from_fn(|place| u32::from_le_bytes(words[place])));
        let ln_q = libm::log1p(-1.0 / r);
        // Two standard deviations above the mean, which is usually enough. `mask_apply` draws more if needed.
        let expected = entries as f64 / r;
        let count = size((expected + 2.0 * expected.sqrt()) as usize + 16);
        let n = size(entries);
        let fresh = mask.try_clone()?;
        // SAFETY: a kernel writes each of them before it is read.
        let (draws, counts) = unsafe { (self.device.alloc::<u32>(count as usize)?, self.device.alloc::<u32>(3)?) };
        launch!(self, "mask_draws", self.grid(count), count, key, ln_q, p, n, draws)?;
        launch!(self, "mask_apply", (1, 1), count, key, ln_q, p, n, draws, fresh, counts)?;
        let counts = self.device.dtoh_sync_copy(&counts)?;
        let changes = MaskChanges {
            redrawn: counts[0] as usize,
            frozen: counts[1] as usize,
            opened: counts[2] as usize,
        };
        Ok((fresh, changes))
    }

    /// Copies the words of a mask from the device to the host. Waits for the device.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the copy fails.
    pub fn download_mask(&self, mask: &CudaSlice<u64>) -> Result<Vec<u64>, GpuError> {
        Ok(self.device.dtoh_sync_copy(mask)?)
    }
}
