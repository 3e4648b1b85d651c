//! The kernels of `kernels/`, compiled for a GPU.

use crate::{GpuError, OpenGpuError};
use cudarc::{
    driver::{result::module, sys},
    nvrtc::{CompileOptions, compile_ptx_with_opts},
};
use std::{collections::HashMap, ffi::CString};

/// Their sources, in order: one translation unit.
const SOURCES: &[&str] = &include!("sources.in");

/// A kernel that is ready to be launched.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) function: sys::CUfunction,
    /// The types of its arguments, as the source has them, without `const`.
    pub(crate) types: Vec<String>,
}

/// A loaded module and its kernels by name.
#[derive(Debug)]
pub(crate) struct Kernels {
    module: sys::CUmodule,
    kernels: HashMap<&'static str, Kernel>,
}

// SAFETY: handles of the driver, which may be used from any thread and are not changed here.
unsafe impl Send for Kernels {}
// SAFETY: as above.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Compiles and loads them for the compute capability of the device whose context is current; about half a second.
    pub(crate) fn compile((major, minor): (i32, i32)) -> Result<Self, OpenGpuError> {
        let architecture = format!("compute_{major}{minor}");
        let options = CompileOptions {
            // Multiplication and addition round one by one, as the sources say: what a kernel computes does not depend on what
            // the compiler fuses. Kernels wait for memory, not for arithmetic.
            fmad: Some(false),
            arch: Some(architecture.clone().leak()), // once in a process
            ..CompileOptions::default()
        };
        let ptx = compile_ptx_with_opts(SOURCES.concat(), options).map_err(|error| OpenGpuError::Compile {
            architecture,
            problem: error.to_string(),
        })?;
        let image = CString::new(ptx.to_src()).expect("PTX is text");
        // SAFETY: text that ends with a zero.
        let module = unsafe { module::load_data(image.as_ptr().cast()) }.map_err(GpuError::from)?;
        let kernel = |(name, types): (&'static str, Vec<String>)| {
            let symbol = CString::new(name).expect("a name has no zero");
            // SAFETY: the module was loaded a few lines above.
            let function = unsafe { module::get_function(module, symbol) }?;
            Ok((name, Kernel { function, types }))
        };
        let kernels = signatures().map(kernel).collect::<Result<_, GpuError>>()?;
        Ok(Self { module, kernels })
    }

    /// # Panics
    /// If the sources have no such kernel.
    pub(crate) fn get(&self, name: &str) -> &Kernel {
        let kernel = self.kernels.get(name);
        kernel.unwrap_or_else(|| panic!("no kernel {name} in the sources"))
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: loaded by `compile`; whoever had a function of it had borrowed this. An error would come too late.
        let _ = unsafe { module::unload(self.module) };
    }
}

/// Every kernel's name and the types of its arguments.
fn signatures() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let kernels = SOURCES.iter().flat_map(|source| source.split("\nKERNEL ").skip(1));
    kernels.map(|kernel| {
        let (name, rest) = kernel.split_once('(').expect("a kernel has arguments");
        let (arguments, _) = rest.split_once(')').expect("a kernel's arguments end");
        (name, arguments.split(',').map(argument_type).collect())
    })
}

/// The type of an argument `const float* x`: `float*`.
fn argument_type(argument: &str) -> String {
    let argument = argument.trim();
    let name = argument.rfind([' ', '*']).expect("an argument has a type and a name");
    let of_type = argument[..=name].trim();
    of_type.strip_prefix("const ").unwrap_or(of_type).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_from_the_sources() {
        let of = |kernel: &str| signatures().find(|(name, _)| *name == kernel).expect(kernel).1;
        assert_eq!(of("relu"), ["u32", "float*", "float*"]);
        assert_eq!(of("place_images")[3..], ["u8*", "float*", "int*", "float*"]);
        assert_eq!(signatures().count(), SOURCES.concat().matches("\nKERNEL ").count());
    }
}
