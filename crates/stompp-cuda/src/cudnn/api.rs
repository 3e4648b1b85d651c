//! The functions of cuDNN that are used, found in the library at run time. Status codes are plain integers here: releases have
//! renumbered them, and a Rust enum of the wrong numbers would be undefined behaviour.

use crate::GpuError;
use std::ffi::c_void;

/// A descriptor or handle.
pub(super) type Opaque = *mut c_void;

/// One of the algorithms that cuDNN proposes; `cudnnConvolution...AlgoPerf_t`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct AlgorithmPerf {
    pub(super) algorithm: i32,
    pub(super) status: i32,
    pub(super) milliseconds: f32,
    pub(super) workspace: usize,
    /// 1 if it gives the same bits each time.
    pub(super) determinism: i32,
    pub(super) math: i32,
    reserved: [i32; 3],
}

/// `functions! { field: "symbol"(arguments); ... }`: the struct of function pointers and how to find them.
macro_rules! functions {
    ($($field:ident: $symbol:ident($($argument:ty),*);)*) => {
        /// The library's functions.
        #[derive(Debug)]
        pub(super) struct Api {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> i32,)*
            version: unsafe extern "C" fn() -> usize,
            #[cfg(not(feature = "cuda-stand-in"))]
            _library: libloading::Library,
        }

        #[cfg(feature = "cuda-stand-in")]
        mod stand_in {
            use super::*;
            unsafe extern "C" {
                $(pub(super) fn $symbol($(_: $argument),*) -> i32;)*
                pub(super) fn cudnnGetVersion() -> usize;
            }
        }

        impl Api {
            /// The fake driver's functions, which are linked.
            #[cfg(feature = "cuda-stand-in")]
            ///
            /// `None` if the environment says that a machine without cuDNN is meant.
            pub(super) fn load() -> Option<Self> {
                let there = std::env::var_os("STOMPP_STAND_IN_WITHOUT_CUDNN").is_none();
                there.then_some(Self { $($field: stand_in::$symbol,)* version: stand_in::cudnnGetVersion })
            }

            /// The library's functions; `None` if there is no library, or one that lacks a function.
            #[cfg(not(feature = "cuda-stand-in"))]
            pub(super) fn load() -> Option<Self> {
                // SAFETY: cuDNN's initializers do nothing but set the library up.
                let library = LIBRARIES.iter().find_map(|name| unsafe { libloading::Library::new(*name) }.ok())?;
                // SAFETY: the types are those of cuDNN's headers, versions 8 and 9; the library lives as long as they do.
                unsafe {
                    Some(Self {
                        $($field: *library.get(concat!(stringify!($symbol), "\0").as_bytes()).ok()?,)*
                        version: *library.get(b"cudnnGetVersion\0").ok()?,
                        _library: library,
                    })
                }
            }
        }
    };
}

/// Names of the library, the newest first.
#[cfg(not(feature = "cuda-stand-in"))]
const LIBRARIES: [&str; 2] = ["libcudnn.so.9", "libcudnn.so.8"];

functions! {
    create: cudnnCreate(*mut Opaque);
    destroy: cudnnDestroy(Opaque);
    create_tensor: cudnnCreateTensorDescriptor(*mut Opaque);
    destroy_tensor: cudnnDestroyTensorDescriptor(Opaque);
    set_tensor: cudnnSetTensor4dDescriptor(Opaque, i32, i32, i32, i32, i32, i32);
    create_filter: cudnnCreateFilterDescriptor(*mut Opaque);
    destroy_filter: cudnnDestroyFilterDescriptor(Opaque);
    set_filter: cudnnSetFilter4dDescriptor(Opaque, i32, i32, i32, i32, i32, i32);
    create_convolution: cudnnCreateConvolutionDescriptor(*mut Opaque);
    destroy_convolution: cudnnDestroyConvolutionDescriptor(Opaque);
    set_convolution: cudnnSetConvolution2dDescriptor(Opaque, i32, i32, i32, i32, i32, i32, i32, i32);
    set_math: cudnnSetConvolutionMathType(Opaque, i32);
    propose_forward: cudnnGetConvolutionForwardAlgorithm_v7(
        Opaque, Opaque, Opaque, Opaque, Opaque, i32, *mut i32, *mut AlgorithmPerf);
    propose_input: cudnnGetConvolutionBackwardDataAlgorithm_v7(
        Opaque, Opaque, Opaque, Opaque, Opaque, i32, *mut i32, *mut AlgorithmPerf);
    propose_weight: cudnnGetConvolutionBackwardFilterAlgorithm_v7(
        Opaque, Opaque, Opaque, Opaque, Opaque, i32, *mut i32, *mut AlgorithmPerf);
    forward: cudnnConvolutionForward(
        Opaque, *const f32, Opaque, u64, Opaque, u64, Opaque, i32, u64, usize, *const f32, Opaque, u64);
    input_gradient: cudnnConvolutionBackwardData(
        Opaque, *const f32, Opaque, u64, Opaque, u64, Opaque, i32, u64, usize, *const f32, Opaque, u64);
    weight_gradient: cudnnConvolutionBackwardFilter(
        Opaque, *const f32, Opaque, u64, Opaque, u64, Opaque, i32, u64, usize, *const f32, Opaque, u64);
}

impl Api {
    /// Its version: major, minor, patch.
    pub(super) fn version(&self) -> (usize, usize, usize) {
        // SAFETY: it takes nothing and cannot fail.
        let version = unsafe { (self.version)() };
        // Version 9 gave the minor number a digit more.
        let scale = if version >= 90_000 { 10_000 } else { 1_000 };
        (version / scale, version % scale / 100, version % 100)
    }
}

/// An error unless `status` is cuDNN's success.
pub(super) fn check(function: &'static str, status: i32) -> Result<(), GpuError> {
    if status == 0 {
        Ok(())
    } else {
        Err(GpuError::Cudnn { function, status })
    }
}
