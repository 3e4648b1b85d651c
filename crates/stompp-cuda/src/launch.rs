//! Launches kernels by name. **Only this module passes arguments to the driver.** Each launch compares the types of its arguments with
//! the types in the kernel's source.

use crate::{Floats, FloatsMut, Gpu, GpuError, kernels::Kernel};
use cudarc::driver::{CudaSlice, DevicePtr, result::launch_kernel};
use std::ffi::c_void;

/// Threads of a block. Equals `THREADS` in the kernels' sources.
pub(crate) const THREADS: u32 = if cfg!(feature = "cuda-stand-in") { 32 } else { 256 };

/// A type that can be an argument of a kernel. The driver reads the bytes of the value.
///
/// # Safety
/// The type must have the layout of [`Argument::TYPE`] in the kernels' sources. A slice must begin with its address.
pub(crate) unsafe trait Argument {
    /// The name of the type in the kernels' sources, without `const`.
    const TYPE: &'static str;

    /// Returns a pointer to the bytes.
    fn place(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    /// Returns the type and the pointer together.
    fn typed(&self) -> TypedArgument {
        TypedArgument {
            kind: Self::TYPE,
            place: self.place(),
        }
    }
}

/// A pointer to an [`Argument`], with its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypedArgument {
    kind: &'static str,
    place: *mut c_void,
}

/// Largest number of arguments of a kernel.
const MOST_ARGUMENTS: usize = 16;

// SAFETY: CUDA's unsigned int.
unsafe impl Argument for u32 {
    const TYPE: &'static str = "u32";
}
// SAFETY: CUDA's int.
unsafe impl Argument for i32 {
    const TYPE: &'static str = "int";
}
// SAFETY: CUDA's float.
unsafe impl Argument for f32 {
    const TYPE: &'static str = "float";
}
// SAFETY: CUDA's double.
unsafe impl Argument for f64 {
    const TYPE: &'static str = "double";
}
// SAFETY: begins with the address.
unsafe impl Argument for Floats<'_> {
    const TYPE: &'static str = "float*";
}
// SAFETY: begins with the address.
unsafe impl Argument for FloatsMut<'_> {
    const TYPE: &'static str = "float*";
}

// SAFETY: `None` is a null pointer, which has the size of an address.
unsafe impl Argument for Option<Floats<'_>> {
    const TYPE: &'static str = Floats::TYPE;

    fn place(&self) -> *mut c_void {
        self.as_ref().map_or(null(), Argument::place)
    }
}

// SAFETY: as above.
unsafe impl Argument for Option<FloatsMut<'_>> {
    const TYPE: &'static str = FloatsMut::TYPE;

    fn place(&self) -> *mut c_void {
        self.as_ref().map_or(null(), Argument::place)
    }
}

/// An element type of slices in device memory.
pub(crate) trait Element {
    /// The type of a pointer to it in the kernels' sources, without `const`.
    const POINTER: &'static str;
}

impl Element for u8 {
    const POINTER: &'static str = "u8*";
}
impl Element for u32 {
    const POINTER: &'static str = "u32*";
}
impl Element for u64 {
    // Kernels read the words of a mask in halves.
    const POINTER: &'static str = "u32*";
}
impl Element for i32 {
    const POINTER: &'static str = "int*";
}
impl Element for f32 {
    const POINTER: &'static str = "float*";
}
impl Element for f64 {
    const POINTER: &'static str = "double*";
}

// SAFETY: `device_ptr` returns a reference to the address.
unsafe impl<T: Element> Argument for CudaSlice<T> {
    const TYPE: &'static str = T::POINTER;

    fn place(&self) -> *mut c_void {
        (&raw const *self.device_ptr()).cast_mut().cast()
    }
}

/// Returns a pointer to a null pointer.
fn null() -> *mut c_void {
    static NULL: u64 = 0;
    (&raw const NULL).cast_mut().cast()
}

/// `launch!(gpu, "kernel", grid, argument, ...)`: launches a kernel of `kernels/` on `grid` blocks (x, y).
macro_rules! launch {
    ($gpu:expr, $kernel:literal, $grid:expr, $($argument:expr),+ $(,)?) => {
        // SAFETY: every function of this crate checks the lengths of its arguments before it launches; the tests with the fake driver
        // run each one. The arguments live until the end of the call.
        unsafe { $gpu.launch($kernel, $grid, &[$($crate::launch::Argument::typed(&$argument)),+]) }
    };
}
pub(crate) use launch;

impl Gpu {
    /// Launches a kernel on a grid of (x, y) blocks; see [`launch!`].
    ///
    /// # Safety
    /// The memory that the kernel reads and writes must be valid, and so must the arguments.
    ///
    /// # Panics
    /// Panics if the kernel does not exist or its arguments have other types.
    pub(crate) unsafe fn launch(
        &self,
        kernel: &'static str,
        (x, y): (u32, u32),
        arguments: &[TypedArgument],
    ) -> Result<(), GpuError> {
        let Kernel { function, types } = self.kernels.get(kernel);
        let given = arguments.iter().map(|argument| argument.kind);
        assert!(
            given.clone().eq(types.iter().map(String::as_str)),
            "kernel {kernel} takes {types:?}, not {:?}",
            given.collect::<Vec<_>>()
        );
        let mut places = [std::ptr::null_mut(); MOST_ARGUMENTS];
        for (place, argument) in places.iter_mut().zip(arguments) {
            *place = argument.place;
        }
        self.device.bind_to_thread()?;
        let (stream, places) = (*self.device.cu_stream(), &mut places[..arguments.len()]);
        let span = self.start_span(|| kernel.to_owned())?;
        // SAFETY: the number and the types of the arguments were checked above; the caller guarantees the rest.
        unsafe { launch_kernel(*function, (x, y, 1), (THREADS, 1, 1), 0, stream, places) }?;
        self.end_span(span)
    }

    /// Returns the grid for a kernel with a grid-stride loop over `n` elements.
    pub(crate) fn grid(&self, n: u32) -> (u32, u32) {
        (n.div_ceil(THREADS).clamp(1, self.max_blocks()), 1)
    }

    /// Returns the number of blocks for each of `lines` independent sums over `work` elements.
    pub(crate) fn splits(&self, lines: u32, work: u32) -> u32 {
        // A few thousand elements a block, but not more blocks than the device runs at once.
        let by_work = work.div_ceil(16 * THREADS);
        by_work.clamp(1, self.max_blocks().div_ceil(lines.max(1)))
    }
}

/// Converts a size to the index type of the kernels.
///
/// # Panics
/// Panics if `n` is not below 2^31, because kernels index with 32 bits.
pub(crate) fn size(n: usize) -> u32 {
    match u32::try_from(n) {
        Ok(n) if n <= i32::MAX as u32 => n,
        _ => panic!("{n} elements: the kernels index fewer than 2^31"),
    }
}
