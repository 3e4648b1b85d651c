//! The functions of cuDNN that this crate uses. Releases have renumbered its status codes.

use crate::{GpuError, library::functions};
use std::ffi::c_void;

/// A descriptor or handle.
pub(super) type Opaque = *mut c_void;

/// An algorithm that cuDNN proposes: `cudnnConvolution...AlgoPerf_t`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct AlgorithmPerf {
    pub(super) algorithm: i32,
    pub(super) status: i32,
    pub(super) milliseconds: f32,
    pub(super) workspace: usize,
    /// 1 if the results are bitwise reproducible.
    pub(super) determinism: i32,
    pub(super) math: i32,
    reserved: [i32; 3],
}

functions! {
    // The types are those of both releases.
    ["libcudnn.so.9", "libcudnn.so.8"], "STOMPP_STAND_IN_WITHOUT_CUDNN";
    get_version: cudnnGetVersion() -> usize;
    create: cudnnCreate(*mut Opaque) -> i32;
    destroy: cudnnDestroy(Opaque) -> i32;
    create_tensor: cudnnCreateTensorDescriptor(*mut Opaque) -> i32;
    destroy_tensor: cudnnDestroyTensorDescriptor(Opaque) -> i32;
    set_tensor: cudnnSetTensor4dDescriptor(Opaque, i32, i32, i32, i32, i32, i32) -> i32;
    create_filter: cudnnCreateFilterDescriptor(*mut Opaque) -> i32;
    destroy_filter: cudnnDestroyFilterDescriptor(Opaque) -> i32;
    set_filter: cudnnSetFilter4dDescriptor(Opaque, i32, i32, i32, i32, i32, i32) -> i32;
    create_convolution: cudnnCreateConvolutionDescriptor(*mut Opaque) -> i32;
    destroy_convolution: cudnnDestroyConvolutionDescriptor(Opaque) -> i32;
    set_convolution: cudnnSetConvolution2dDescriptor(Opaque, i32, i32, i32, i32, i32, i32, i32, i32) -> i32;
    set_math: cudnnSetConvolutionMathType(Opaque, i32) -> i32;
    propose_forward: cudnnGetConvolutionForwardAlgorithm_v7(
        Opaque, Opaque, Opaque, Opaque, Opaque, i32, *mut i32, *mut AlgorithmPerf) -> i32;
    propose_input: cudnnGetConvolutionBackwardDataAlgorithm_v7(
        Opaque, Opaque, Opaque, Opaque, Opaque, i32, *mut i32, *mut AlgorithmPerf) -> i32;
    propose_weight: cudnnGetConvolutionBackwardFilterAlgorithm_v7(
        Opaque, Opaque, Opaque, Opaque, Opaque, i32, *mut i32, *mut AlgorithmPerf) -> i32;
    forward: cudnnConvolutionForward(
        Opaque, *const f32, Opaque, u64, Opaque, u64, Opaque, i32, u64, usize, *const f32, Opaque, u64) -> i32;
    input_gradient: cudnnConvolutionBackwardData(
        Opaque, *const f32, Opaque, u64, Opaque, u64, Opaque, i32, u64, usize, *const f32, Opaque, u64) -> i32;
    weight_gradient: cudnnConvolutionBackwardFilter(
        Opaque, *const f32, Opaque, u64, Opaque, u64, Opaque, i32, u64, usize, *const f32, Opaque, u64) -> i32;
}

impl Api {
    /// Returns the version: major, minor, patch.
    pub(super) fn version(&self) -> (usize, usize, usize) {
        // SAFETY: the function has no arguments and cannot fail.
        let version = unsafe { (self.get_version)() };
        // Since version 9 the minor number has two digits.
        let scale = if version >= 90_000 { 10_000 } else { 1_000 };
        (version / scale, version % scale / 100, version % 100)
    }
}

/// Returns an error unless `status` is 0, which is cuDNN's success.
pub(super) fn check(function: &'static str, status: i32) -> Result<(), GpuError> {
    if status == 0 {
        Ok(())
    } else {
        Err(GpuError::Cudnn { function, status })
    }
}
