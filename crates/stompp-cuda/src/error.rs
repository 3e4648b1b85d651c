//! What can go wrong on a GPU.

use crate::GpuSettings;
use cudarc::{cublas::result::CublasError, driver::DriverError};

/// A call failed; every variant says which library said so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The driver's: out of memory, a failed launch.
    #[error("CUDA driver: {0:?}")]
    Driver(DriverError),
    /// cuBLAS's.
    #[error("cuBLAS: {0:?}")]
    Blas(CublasError),
    /// The GPU was used before it was opened.
    #[error("the GPU is not open: get the device from `stompp_nn::cuda::open`")]
    NotOpen,
    /// cuDNN's.
    #[error("cuDNN: {function} returned status {status}")]
    Cudnn {
        /// The function that failed.
        function: &'static str,
        /// cuDNN's status code.
        status: i32,
    },
}

impl From<DriverError> for GpuError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl From<CublasError> for GpuError {
    fn from(error: CublasError) -> Self {
        Self::Blas(error)
    }
}

/// A GPU could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenGpuError {
    /// There is no driver, or no GPU that it shows.
    #[error("no CUDA device: {0} (is the driver loaded, and a GPU visible to this process?)")]
    NoDevice(String),
    /// The kernels could not be compiled for this GPU.
    #[error("NVRTC cannot compile the kernels for {architecture}: {problem}")]
    Compile {
        /// The virtual architecture, such as `compute_90`.
        architecture: String,
        /// What NVRTC said.
        problem: String,
    },
    /// A library failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The process's GPU was opened before, with other settings.
    #[error("the GPU computes with {was:?} in this process already, not with {wanted:?}")]
    OtherSettings {
        /// Those in use.
        was: GpuSettings,
        /// Those asked for.
        wanted: GpuSettings,
    },
    /// Memory was not where a tensor said it is: this release of the tensor library is not the one that is known.
    #[error("a tensor's memory could not be found: {0}")]
    Pointer(String),
}

impl From<DriverError> for OpenGpuError {
    fn from(error: DriverError) -> Self {
        Self::Gpu(error.into())
    }
}

impl From<CublasError> for OpenGpuError {
    fn from(error: CublasError) -> Self {
        Self::Gpu(error.into())
    }
}
