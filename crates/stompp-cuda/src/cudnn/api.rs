//! The functions of cuDNN that this crate uses, loaded from the library at run time. Status codes are plain integers, because releases
//! have renumbered them, and an unknown value of a Rust enum would be undefined behaviour.

use crate::GpuError;
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

/// `functions! { field: symbol(arguments); ... }`: defines the struct of function pointers and loads them.
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
            /// Returns the functions of the fake driver, which are linked statically.
            #[cfg(feature = "cuda-stand-in")]
            ///
            /// `None` if the environment variable `STOMPP_STAND_IN_WITHOUT_CUDNN` is set.
            pub(super) fn load() -> Option<Self> {
                let there = std::env::var_os("STOMPP_STAND_IN_WITHOUT_CUDNN").is_none();
                there.then_some(Self { $($field: stand_in::$symbol,)* version: stand_in::cudnnGetVersion })
            }

            /// Loads the functions of the library. `None` if the library is missing or lacks a function.
            #[cfg(not(feature = "cuda-stand-in"))]
            pub(super) fn load() -> Option<Self> {
                // SAFETY: the initializers of cuDNN only set up the library.
                let library = LIBRARIES.iter().find_map(|name| unsafe { libloading::Library::new(*name) }.ok())?;
                // SAFETY: the types are from the headers of cuDNN 8 and 9; the library lives as long as the functions.
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

/// Names of the library, newest first.
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
    /// Returns the version: major, minor, patch.
    pub(super) fn version(&self) -> (usize, usize, usize) {
        // SAFETY: the function has no arguments and cannot fail.
        let version = unsafe { (self.version)() };
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
