//! The devices' errors as one type.

/// A device failed: it is out of memory, or a kernel launch failed.
///
/// dfdx's error types share no trait of `std`, and its CUDA error is not a [`std::error::Error`]. In code that is generic over the
/// device, `result.map_err(DeviceError::new)?` converts any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("device: {0}")]
pub struct DeviceError(String);

impl DeviceError {
    /// Converts the error of a device, such as `D::Err`.
    pub fn new(error: impl std::fmt::Display) -> Self {
        // dfdx's error type cannot hold every message. The full message was stored separately.
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
