//! The process's GPU: opening it, and converting its errors to dfdx's.

use super::view;
use crate::backend::Buffer;
use cudarc::driver::{DriverError, sys::CUresult};
use dfdx::tensor::{Cuda, CudaError, Storage};
use std::{
    cell::RefCell,
    sync::{Mutex, OnceLock, PoisonError},
};
use stompp_cuda::{Gpu, GpuError, GpuSettings, OpenGpuError};

/// The process's GPU.
static GPU: OnceLock<Gpu> = OnceLock::new();

/// Opens the first GPU and returns dfdx's device for it.
///
/// # Errors
/// Returns an [`OpenGpuError`] if there is no GPU, a library or the compilation of the kernels fails, or the GPU was opened before
/// with other settings.
pub fn open(settings: GpuSettings) -> Result<Cuda, OpenGpuError> {
    open_for(0, settings)
}

/// Opens the GPU for process number `process` of this machine and returns dfdx's device for it: each process has a GPU of its own, if
/// there are enough of them. A process has only one: if it is open, it is returned, whatever the number.
///
/// # Errors
/// Those of [`open`].
pub fn open_for(process: usize, settings: GpuSettings) -> Result<Cuda, OpenGpuError> {
    static OPENING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    // Before dfdx's own call, which panics if there is no driver or GPU.
    let number = match GPU.get() {
        Some(gpu) => gpu.device().ordinal(),
        None => stompp_cuda::gpu_of_process(process)?,
    };
    let no_device = |error: CudaError| OpenGpuError::NoDevice(error.to_string());
    let device = Cuda::try_build(number, 0).map_err(no_device)?;
    if let Some(gpu) = GPU.get() {
        let (was, wanted) = (gpu.settings(), settings);
        if was != wanted {
            return Err(OpenGpuError::OtherSettings { was, wanted });
        }
    } else {
        let buffer: Buffer<Cuda> = Storage::<f32>::try_alloc_len(&device, 1).map_err(no_device)?;
        let gpu = Gpu::open(buffer.device(), settings)?;
        GPU.get_or_init(|| gpu);
        view::check_tensor_memory(&device).map_err(OpenGpuError::Pointer)?;
    }
    Ok(device)
}

/// Returns the GPU.
///
/// # Errors
/// Returns [`GpuError::NotOpen`] if [`open`] has not opened it. dfdx can create a [`Cuda`] without it.
pub fn gpu() -> Result<&'static Gpu, GpuError> {
    GPU.get().ok_or(GpuError::NotOpen)
}

/// Runs `work` on the GPU and converts its error to dfdx's.
///
/// # Errors
/// Returns the error of [`gpu`] or of `work`.
pub fn on_gpu<T>(work: impl FnOnce(&'static Gpu) -> Result<T, GpuError>) -> Result<T, CudaError> {
    gpu().and_then(work).map_err(to_cuda_error)
}

/// Converts an error of the kernels to dfdx's, which has no variant for cuDNN. [`take_last_error`] returns the full message.
pub fn to_cuda_error(error: GpuError) -> CudaError {
    LAST_ERROR.with_borrow_mut(|last| *last = Some(error.to_string()));
    match error {
        GpuError::Driver(error) => CudaError::Driver(error),
        GpuError::Blas(error) => CudaError::Blas(error),
        GpuError::NotOpen => CudaError::Driver(DriverError(CUresult::CUDA_ERROR_NOT_INITIALIZED)),
        _ => CudaError::Driver(DriverError(CUresult::CUDA_ERROR_UNKNOWN)),
    }
}

/// Returns the full message of the last error of this thread, and clears it.
pub fn take_last_error() -> Option<String> {
    LAST_ERROR.take()
}

thread_local! {
    static LAST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}
