//! Launching kernels by name. **The one place that hands arguments to the driver.**

use crate::{Floats, FloatsMut, Gpu, GpuError};
use cudarc::driver::{CudaSlice, DevicePtr, result::launch_kernel};
use std::ffi::c_void;

/// Threads of a block; `THREADS` of the kernels' sources.
pub(crate) const THREADS: u32 = if cfg!(feature = "cuda-stand-in") { 32 } else { 256 };

/// What a kernel takes as an argument: its bytes are read from where it lies.
///
/// # Safety
/// It is laid out as the type that kernels declare for it; a slice begins with its address.
pub(crate) unsafe trait Argument {
    /// Where the bytes are.
    fn place(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }
}

// SAFETY: CUDA's unsigned int, int and float.
unsafe impl Argument for u32 {}
// SAFETY: as above.
unsafe impl Argument for i32 {}
// SAFETY: as above.
unsafe impl Argument for f32 {}
// SAFETY: CUDA's double.
unsafe impl Argument for f64 {}
// SAFETY: begins with the address.
unsafe impl Argument for Floats<'_> {}
// SAFETY: begins with the address.
unsafe impl Argument for FloatsMut<'_> {}

// SAFETY: a null pointer where there are no floats, of the same size as the address.
unsafe impl Argument for Option<Floats<'_>> {
    fn place(&self) -> *mut c_void {
        self.as_ref().map_or(null(), Argument::place)
    }
}

// SAFETY: as above.
unsafe impl Argument for Option<FloatsMut<'_>> {
    fn place(&self) -> *mut c_void {
        self.as_ref().map_or(null(), Argument::place)
    }
}

// SAFETY: `device_ptr` lends the address itself.
unsafe impl<T> Argument for CudaSlice<T> {
    fn place(&self) -> *mut c_void {
        (&raw const *self.device_ptr()).cast_mut().cast()
    }
}

/// Where a null pointer lies.
fn null() -> *mut c_void {
    static NULL: u64 = 0;
    (&raw const NULL).cast_mut().cast()
}

/// `launch!(gpu, "kernel", grid, argument, ...)`: launches a kernel of `kernels/` on `grid` blocks (x, y).
macro_rules! launch {
    ($gpu:expr, $kernel:literal, $grid:expr, $($argument:expr),+ $(,)?) => {
        // SAFETY: every function of this crate checks the lengths of what it is given before it comes here, and the arguments
        // are of the types that the kernel declares; the stand-in's tests run each one. They live to the end of the call.
        unsafe { $gpu.launch($kernel, $grid, &mut [$($crate::launch::Argument::place(&$argument)),+]) }
    };
}
pub(crate) use launch;

impl Gpu {
    /// Launches a kernel on a grid of (x, y) blocks; see [`launch!`].
    ///
    /// # Safety
    /// The arguments are those of the kernel, and the memory that it reads and writes is there.
    pub(crate) unsafe fn launch(
        &self,
        kernel: &'static str,
        (x, y): (u32, u32),
        arguments: &mut [*mut c_void],
    ) -> Result<(), GpuError> {
        self.device.bind_to_thread()?;
        let (function, stream) = (self.kernels.function(kernel), *self.device.cu_stream());
        let span = self.start_span(|| kernel.to_owned())?;
        // SAFETY: the caller's word.
        unsafe { launch_kernel(function, (x, y, 1), (THREADS, 1, 1), 0, stream, arguments) }?;
        self.end_span(span)
    }

    /// The grid for work on `n` elements, which a kernel goes through by itself.
    pub(crate) fn grid(&self, n: u32) -> (u32, u32) {
        (n.div_ceil(THREADS).clamp(1, self.most_blocks()), 1)
    }

    /// The blocks that `work` threads' worth of work is divided into for each of `lines` independent sums.
    pub(crate) fn splits(&self, lines: u32, work: u32) -> u32 {
        // A few thousand elements a block, but not more blocks than the device runs at once.
        let by_work = work.div_ceil(16 * THREADS);
        by_work.clamp(1, self.most_blocks().div_ceil(lines.max(1)))
    }
}

/// A size as kernels count.
///
/// # Panics
/// If it is not below 2^31: kernels index with 32 bits.
pub(crate) fn size(n: usize) -> u32 {
    match u32::try_from(n) {
        Ok(n) if n <= i32::MAX as u32 => n,
        _ => panic!("{n} elements: the kernels index fewer than 2^31"),
    }
}
