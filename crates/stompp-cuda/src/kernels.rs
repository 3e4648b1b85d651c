//! Compiles and loads the kernels of `kernels/`.

use crate::{GpuError, OpenGpuError};
use cudarc::{
    driver::{result::module, sys},
    nvrtc::{CompileOptions, compile_ptx_with_opts},
};
use std::{collections::HashMap, ffi::CString};

/// The sources of the kernels, in order. Together they are one translation unit.
const SOURCES: &[&str] = &include!("sources.in");

/// A kernel that is ready to be launched.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) function: sys::CUfunction,
    /// The types of the arguments, as in the source, without `const`.
    pub(crate) types: Vec<String>,
}

/// A loaded module and its kernels by name.
#[derive(Debug)]
pub(crate) struct Kernels {
    module: sys::CUmodule,
    kernels: HashMap<&'static str, Kernel>,
}

// SAFETY: handles of the driver may be used from any thread, and they do not change here.
unsafe impl Send for Kernels {}
// SAFETY: as above.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Compiles the kernels for a compute capability and loads them into the current context. This needs about half a second.
    pub(crate) fn compile((major, minor): (i32, i32)) -> Result<Self, OpenGpuError> {
        let architecture = format!("compute_{major}{minor}");
        let options = CompileOptions {
            // No fused multiply-add, so that results do not depend on the compiler. This costs no time: the kernels are limited by
            // memory, not by arithmetic.
            fmad: Some(false),
            arch: Some(architecture.clone().leak()), // once in a process
            ..CompileOptions::default()
        };
        let ptx = compile_ptx_with_opts(SOURCES.concat(), options).map_err(|error| OpenGpuError::Compile {
            architecture,
            problem: error.to_string(),
        })?;
        let image = CString::new(ptx.to_src()).expect("PTX is text");
        // SAFETY: `image` is text that ends with a zero.
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

    /// Returns the kernel `name`.
    ///
    /// # Panics
    /// Panics if the sources have no such kernel.
    pub(crate) fn get(&self, name: &str) -> &Kernel {
        let kernel = self.kernels.get(name);
        kernel.unwrap_or_else(|| panic!("no kernel {name} in the sources"))
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: `compile` loaded the module, and no function of it is still borrowed. Errors are ignored on drop.
        let _ = unsafe { module::unload(self.module) };
    }
}

/// Returns the name of every kernel and the types of its arguments.
fn signatures() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let kernels = SOURCES.iter().flat_map(|source| source.split("\nKERNEL ").skip(1));
    kernels.map(|kernel| {
        let (name, rest) = kernel.split_once('(').expect("a kernel has arguments");
        let (arguments, _) = rest.split_once(')').expect("a kernel's arguments end");
        (name, arguments.split(',').map(argument_type).collect())
    })
}

/// Returns the type of an argument. For `const float* x` it is `float*`.
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
