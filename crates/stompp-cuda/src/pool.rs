//! Pooling.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{Argument, launch, size},
    memory::check_length,
};
use cudarc::driver::{CudaSlice, DeviceSlice};
use stompp_kernels::{ChannelShape, PoolShape};

/// The sizes of a pooling. `Pool` in the kernels' sources.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Pool {
    planes: u32,
    in_height: u32,
    in_width: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    out_height: u32,
    out_width: u32,
}

// SAFETY: laid out as the kernels' struct.
unsafe impl Argument for Pool {
    const TYPE: &'static str = "Pool";
}

impl Pool {
    fn new(s: &PoolShape) -> Self {
        size(s.input_len());
        Self {
            planes: size(s.batch * s.channels),
            in_height: size(s.in_height),
            in_width: size(s.in_width),
            kernel: size(s.kernel),
            stride: size(s.stride),
            padding: size(s.padding),
            out_height: size(s.out_height()),
            out_width: size(s.out_width()),
        }
    }
}

impl Gpu {
    /// Computes the mean of `x` over the inner elements: (N, C, inner) to (N, C). Sums in f64.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn average_pool(&self, s: &ChannelShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("x", x.len(), s.len());
        check_length("y", y.len(), s.batch * s.channels);
        let channels = size(y.len());
        launch!(self, "average_pool", self.grid(channels), channels, size(s.inner), x, y)
    }

    /// Computes `gx += gy / inner`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn average_pool_backward(&self, s: &ChannelShape, gy: Floats<'_>, gx: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("gx", gx.len(), s.len());
        check_length("gy", gy.len(), s.batch * s.channels);
        let (channels, grid) = (size(gy.len()), self.grid(size(gx.len())));
        launch!(self, "average_pool_backward", grid, channels, size(s.inner), gy, gx)
    }

    /// Computes the maximum of each window. Returns the positions of the maxima for [`Gpu::max_pool_backward`].
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation or the launch fails.
    pub fn max_pool(&self, s: &PoolShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<CudaSlice<u32>, GpuError> {
        check_length("x", x.len(), s.input_len());
        check_length("y", y.len(), s.output_len());
        // SAFETY: the kernel writes all of it.
        let max_indices = unsafe { self.device.alloc::<u32>(s.output_len()) }?;
        let grid = self.grid(size(s.output_len()));
        launch!(self, "max_pool", grid, Pool::new(s), x, y, max_indices)?;
        Ok(max_indices)
    }

    /// Adds the gradient of each window to the input that was its maximum.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    pub fn max_pool_backward(
        &self,
        s: &PoolShape,
        max_indices: &CudaSlice<u32>,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("gx", gx.len(), s.input_len());
        check_length("gy", gy.len(), s.output_len());
        check_length("max_indices", max_indices.len(), s.output_len());
        let grid = self.grid(size(s.input_len()));
        launch!(self, "max_pool_backward", grid, Pool::new(s), *max_indices, gy, gx)
    }

    /// Computes the mean of each window.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    ///
    /// # Panics
    /// Panics if `s` has padding or a length does not match.
    pub fn window_mean(&self, s: &PoolShape, x: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        assert_eq!(s.padding, 0, "an average pool has no padding");
        check_length("x", x.len(), s.input_len());
        check_length("y", y.len(), s.output_len());
        launch!(self, "window_mean", self.grid(size(s.output_len())), Pool::new(s), x, y)
    }

    /// Adds to each input its share of the gradients of the windows that contain it.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the launch fails.
    ///
    /// # Panics
    /// Panics if `s` has padding or a length does not match.
    pub fn window_mean_backward(&self, s: &PoolShape, gy: Floats<'_>, gx: FloatsMut<'_>) -> Result<(), GpuError> {
        assert_eq!(s.padding, 0, "an average pool has no padding");
        check_length("gx", gx.len(), s.input_len());
        check_length("gy", gy.len(), s.output_len());
        launch!(
            self,
            "window_mean_backward",
            self.grid(size(s.input_len())),
            Pool::new(s),
            gy,
            gx
        )
    }
}
