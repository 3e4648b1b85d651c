//! Errors of opening and using a GPU.

use crate::GpuSettings;
use cudarc::{cublas::result::CublasError, driver::DriverError};

/// A call of the driver or of a library failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// An error of the CUDA driver, for example out of memory or a failed launch.
    #[error("CUDA driver: {0:?}")]
    Driver(DriverError),
    /// An error of cuBLAS.
    #[error("cuBLAS: {0:?}")]
    Blas(CublasError),
    /// The GPU was used before it was opened.
    #[error("the GPU is not open: get the device from `stompp_nn::cuda::open`")]
    NotOpen,
    /// NCCL is not installed.
    #[error("NCCL is not installed: libnccl.so.2 is not in the library path")]
    NoNccl,
    /// An error of NCCL, of this process or of another one.
    #[error("NCCL: {function}: {message} (status {status})")]
    Nccl {
        /// The function that failed.
        function: &'static str,
        /// NCCL's status code.
        status: i32,
        /// NCCL's message.
        message: String,
    },
    /// An error of cuDNN.
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

/// A GPU could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenGpuError {
    /// There is no driver, or the driver finds no GPU.
    #[error("no CUDA device: {0} (is the driver loaded, and a GPU visible to this process?)")]
    NoDevice(String),
    /// The kernels could not be compiled for this GPU.
    #[error("NVRTC cannot compile the kernels for {architecture}: {problem}")]
    Compile {
        /// The virtual architecture, such as `compute_90`.
        architecture: String,
        /// NVRTC's message.
        problem: String,
    },
    /// A call of the driver or of a library failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The GPU is already open in this process with other settings.
    #[error("the GPU is already open in this process with {was:?}, not with {wanted:?}")]
    OtherSettings {
        /// The settings in use.
        was: GpuSettings,
        /// The requested settings.
        wanted: GpuSettings,
    },
    /// The memory of a tensor was not found. The release of the tensor library has an unknown memory layout.
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
