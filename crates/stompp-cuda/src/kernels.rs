//! The kernels of `kernels/`, compiled for a GPU.

use crate::{GpuError, OpenError};
use cudarc::{
    driver::{result::module, sys},
    nvrtc::{CompileOptions, compile_ptx_with_opts},
};
use std::{collections::HashMap, ffi::CString};

/// Their sources, in order: one translation unit.
const SOURCES: &[&str] = &include!("sources.in");

/// A loaded module and its functions by name.
#[derive(Debug)]
pub(crate) struct Kernels {
    module: sys::CUmodule,
    functions: HashMap<&'static str, sys::CUfunction>,
}

// SAFETY: handles of the driver, which may be used from any thread and are not changed here.
unsafe impl Send for Kernels {}
// SAFETY: as above.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Compiles and loads them for the compute capability of the device whose context is current; about half a second.
    pub(crate) fn compile((major, minor): (i32, i32)) -> Result<Self, OpenError> {
        let architecture = format!("compute_{major}{minor}");
        let options = CompileOptions {
            // Multiplication and addition round one by one, as the sources say: what a kernel computes does not depend on what
            // the compiler fuses. Kernels wait for memory, not for arithmetic.
            fmad: Some(false),
            arch: Some(architecture.clone().leak()), // once in a process
            ..CompileOptions::default()
        };
        let ptx = compile_ptx_with_opts(SOURCES.concat(), options).map_err(|error| OpenError::Compile {
            architecture,
            problem: error.to_string(),
        })?;
        let image = CString::new(ptx.to_src()).expect("PTX is text");
        // SAFETY: text that ends with a zero.
        let module = unsafe { module::load_data(image.as_ptr().cast()) }.map_err(GpuError::from)?;
        let function = |name: &'static str| {
            let symbol = CString::new(name).expect("a name has no zero");
            // SAFETY: the module was loaded a few lines above.
            Ok((name, unsafe { module::get_function(module, symbol) }?))
        };
        let functions = names().map(function).collect::<Result<_, GpuError>>()?;
        Ok(Self { module, functions })
    }

    /// # Panics
    /// If the sources have no such kernel.
    pub(crate) fn function(&self, name: &str) -> sys::CUfunction {
        let function = self.functions.get(name);
        *function.unwrap_or_else(|| panic!("no kernel {name} in the sources"))
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: loaded by `compile`; whoever had a function of it had borrowed this. An error would come too late.
        let _ = unsafe { module::unload(self.module) };
    }
}

/// The names of all kernels.
fn names() -> impl Iterator<Item = &'static str> {
    let kernels = SOURCES.iter().flat_map(|source| source.split("\nKERNEL ").skip(1));
    kernels.map(|kernel| kernel.split_once('(').expect("a kernel has arguments").0)
}
