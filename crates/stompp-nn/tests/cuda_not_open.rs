//! A CUDA device that dfdx created by itself gives an error that says what to do, not a panic.
#![cfg(feature = "cuda")]

use dfdx::tensor::{Cuda, ZerosTensor};
use stompp_nn::{DeviceError, ops};

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_that_is_not_open_is_an_error() {
    let device = Cuda::try_build(0, 0).expect("a GPU");
    let x = device.zeros_like(&(2, 3));
    let error = ops::relu(x).expect_err("nobody has opened the GPU");
    let error = DeviceError::new(error).to_string();
    assert!(error.contains("stompp_nn::cuda::open"), "{error}");
}
