//! L2 norms of many slices. All norms are read at once, because each read waits for the device.

use crate::{
    Floats, Gpu, GpuError,
    launch::{launch, size},
};
use cudarc::driver::CudaSlice;

/// Number of norms in one allocation.
const PIECE: usize = 256;

/// Norms that are being computed on the device.
#[derive(Debug, Default)]
pub struct PendingNorms {
    pieces: Vec<CudaSlice<f64>>,
    count: usize,
}

impl Gpu {
    /// Queues the computation of the L2 norm of `x`, summed in f64.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation or a launch fails.
    pub fn add_norm(&self, norms: &mut PendingNorms, x: Floats<'_>) -> Result<(), GpuError> {
        let place = norms.count % PIECE;
        if place == 0 {
            norms.pieces.push(self.device.alloc_zeros(PIECE)?);
        }
        let piece = norms.pieces.last_mut().expect("the first norm makes a piece");
        let n = size(x.len());
        let (blocks, _) = self.grid(n);
        // SAFETY: the first kernel writes it before the second reads it.
        let parts = unsafe { self.device.alloc::<f64>(blocks as usize) }?;
        launch!(self, "square_sums", (blocks, 1), n, x, parts)?;
        launch!(self, "norm_of_sums", (1, 1), blocks, parts, place as u32, *piece)?;
        norms.count += 1;
        Ok(())
    }

    /// Waits for the device and returns the norms in the order in which they were added. A norm is finite exactly if all its values
    /// are finite.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if a copy fails.
    pub fn read_norms(&self, norms: &PendingNorms) -> Result<Vec<f64>, GpuError> {
        let mut values = Vec::with_capacity(norms.count);
        for piece in &norms.pieces {
            values.extend(self.device.dtoh_sync_copy(piece)?);
        }
        values.truncate(norms.count);
        Ok(values)
    }
}
