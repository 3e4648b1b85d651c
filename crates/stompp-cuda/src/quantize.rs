//! The masked quantizer.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{Argument, launch, size},
    memory::check_length,
};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::marker::PhantomData;
use stompp_kernels::Surrogate;

/// The state of a quantizer: the frozen entries and their surrogate gradient. `Quantizer` in the kernels' sources.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Quantizer<'a> {
    state: i32,
    surrogate: i32,
    period: u32,
    mask: u64,
    owner: PhantomData<&'a u64>,
}

// SAFETY: laid out as the kernels' struct, which the compilers of both sides pad alike.
unsafe impl Argument for Quantizer<'_> {
    const TYPE: &'static str = "Quantizer";
}

impl<'a> Quantizer<'a> {
    /// No quantizer.
    pub(crate) const NONE: Quantizer<'static> = Quantizer {
        state: -1,
        surrogate: 0,
        period: 1,
        mask: 0,
        owner: PhantomData,
    };

    /// Creates a quantizer with all entries open.
    pub fn open(period: usize) -> Self {
        Self {
            state: 0,
            period: size(period.max(1)),
            ..Self::NONE
        }
    }

    /// Creates a quantizer that freezes the entries whose bit is set. The mask repeats every `period` entries.
    ///
    /// # Panics
    /// Panics if the number of words in `mask` is not `period / 64`, rounded up.
    pub fn freezing(period: usize, mask: &'a CudaSlice<u64>, surrogate: Surrogate) -> Self {
        use cudarc::driver::DeviceSlice;
        assert_eq!(
            mask.len(),
            period.div_ceil(64),
            "the mask's words are not those of {period} entries"
        );
        Self {
            state: 1,
            surrogate: number(surrogate),
            mask: *mask.device_ptr(),
            ..Self::open(period)
        }
    }

    /// Creates a quantizer with all entries frozen.
    pub fn committed(period: usize, surrogate: Surrogate) -> Self {
        Self {
            state: 2,
            surrogate: number(surrogate),
            ..Self::open(period)
        }
    }

    /// Panics unless `len` is a multiple of the period.
    pub(crate) fn check(&self, len: usize) {
        let period = self.period as usize;
        assert_eq!(len % period, 0, "{len} entries are not samples of {period}");
    }
}

/// Returns the number of a surrogate in the kernels' sources.
fn number(surrogate: Surrogate) -> i32 {
    match surrogate {
        Surrogate::Blocked => 0,
        Surrogate::Identity => 1,
        Surrogate::Clipped => 2,
    }
}

impl Gpu {
    /// Copies the words of a mask to the device.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the allocation or the copy fails.
    pub fn upload_mask(&self, words: &[u64]) -> Result<CudaSlice<u64>, GpuError> {
        Ok(self.device.htod_sync_copy(words)?)
    }

    /// Computes `out = M sign(u) + (1 - M) clip(u, -1, 1)`, as `stompp_kernels::quantize_forward` does.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn quantize(&self, quantizer: Quantizer<'_>, u: Floats<'_>, out: FloatsMut<'_>) -> Result<(), GpuError> {
        quantizer.check(u.len());
        check_length("out", out.len(), u.len());
        let n = size(u.len());
        launch!(self, "quantize", self.grid(n), n, quantizer, u, out)
    }

    /// Computes `gu += gout` where the quantizer passes gradient, as `stompp_kernels::quantize_backward` does.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn quantize_backward(
        &self,
        quantizer: Quantizer<'_>,
        u: Floats<'_>,
        gout: Floats<'_>,
        gu: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        quantizer.check(u.len());
        check_length("gout", gout.len(), u.len());
        check_length("gu", gu.len(), u.len());
        let n = size(u.len());
        launch!(self, "quantize_backward", self.grid(n), n, quantizer, u, gout, gu)
    }
}
