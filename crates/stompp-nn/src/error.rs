//! The devices' errors as one type.

/// A device failed: out of memory, or a failed launch.
///
/// dfdx's error types have no trait of `std` in common, and that of CUDA is no [`std::error::Error`]. In code that is generic over
/// the device, `result.map_err(DeviceError::new)?` makes one of any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("device: {0}")]
pub struct DeviceError(String);

impl DeviceError {
    /// The error of a device, such as `D::Err`.
    pub fn new(error: impl std::fmt::Display) -> Self {
        // What dfdx's error type cannot say was kept beside it.
        #[cfg(feature = "cuda")]
        if let Some(words) = crate::cuda::take_last_error() {
            return Self(words);
        }
        Self(error.to_string())
    }
}

impl From<dfdx::tensor::CpuError> for DeviceError {
    fn from(error: dfdx::tensor::CpuError) -> Self {
        Self::new(error)
    }
}

#[cfg(feature = "cuda")]
impl From<dfdx::tensor::CudaError> for DeviceError {
    fn from(error: dfdx::tensor::CudaError) -> Self {
        Self::new(error)
    }
}
