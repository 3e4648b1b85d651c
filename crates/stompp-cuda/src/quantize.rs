//! The masked quantizer.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{Argument, launch, size},
    memory::check_length,
};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::marker::PhantomData;
use stompp_kernels::Surrogate;

/// Which entries are frozen, and what gradient they pass; `Quantizer` of the kernels' sources.
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
    /// No quantizer at all.
    pub(crate) const NONE: Quantizer<'static> = Quantizer {
        state: -1,
        surrogate: 0,
        period: 1,
        mask: 0,
        owner: PhantomData,
    };

    /// Every entry is open.
    pub fn open(period: usize) -> Self {
        Self {
            state: 0,
            period: size(period.max(1)),
            ..Self::NONE
        }
    }

    /// Entries whose bit is set are frozen; the mask repeats with each `period` entries.
    ///
    /// # Panics
    /// If the mask has not `period / 64` words, rounded up.
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

    /// Every entry is frozen.
    pub fn committed(period: usize, surrogate: Surrogate) -> Self {
        Self {
            state: 2,
            surrogate: number(surrogate),
            ..Self::open(period)
        }
    }

    /// Panics unless `len` entries are whole samples.
    pub(crate) fn check(&self, len: usize) {
        let period = self.period as usize;
        assert_eq!(len % period, 0, "{len} entries are not samples of {period}");
    }
}

/// Their numbers in the kernels' sources.
fn number(surrogate: Surrogate) -> i32 {
    match surrogate {
        Surrogate::Blocked => 0,
        Surrogate::Identity => 1,
        Surrogate::Clipped => 2,
    }
}

impl Gpu {
    /// The words of a mask in the device's memory.
    ///
    /// # Errors
    /// The driver's.
    pub fn upload_mask(&self, words: &[u64]) -> Result<CudaSlice<u64>, GpuError> {
        Ok(self.device.htod_sync_copy(words)?)
    }

    /// `out = M sign(u) + (1 - M) clip(u, -1, 1)`; as `stompp_kernels::quantize_forward`.
    ///
    /// # Errors
    /// The driver's.
    pub fn quantize(&self, quantizer: Quantizer<'_>, u: Floats<'_>, out: FloatsMut<'_>) -> Result<(), GpuError> {
        quantizer.check(u.len());
        check_length("out", out.len(), u.len());
        let n = size(u.len());
        launch!(self, "quantize", self.grid(n), n, quantizer, u, out)
    }

    /// `gu += gout` where the quantizer passes gradient; as `stompp_kernels::quantize_backward`.
    ///
    /// # Errors
    /// The driver's.
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
