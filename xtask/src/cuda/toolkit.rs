//! The parts of the CUDA toolkit that a build needs, from NVIDIA's wheels on PyPI, for a machine without toolkit and GPU.
//!
//! Compiler and libraries are from CUDA 13.0, because newer ones emit PTX that a 13.0 driver rejects. No wheel has the driver's own
//! library, so programs are linked against a stub that is not shipped. dfdx's build calls `nvidia-smi` for the compute capability; a script
//! of this name prints it.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use cargo_metadata::{CargoOpt, MetadataCommand};
use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// The wheels and their versions.
const WHEELS: [&str; 7] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-cublas==13.0.2.14",
];

/// Libraries to link. A link without a version in its name points at the file of the wheel.
const LIBRARIES: [&str; 3] = ["cublas", "cublasLt", "nvrtc"];

/// A CUDA toolkit in a folder of its own.
#[derive(Debug)]
pub(super) struct Toolkit {
    folder: PathBuf,
}

impl Toolkit {
    /// Makes a toolkit in `folder` for GPUs of this compute capability. Keeps a complete toolkit that is already there.
    ///
    /// # Errors
    /// Returns an error if Python, pip, a C compiler or the network is missing, or if a file cannot be written.
    pub(super) fn prepare(folder: &Path, compute_capability: &str) -> Result<Self> {
        let toolkit = Self {
            folder: folder.to_owned(),
        };
        let whole = folder.join("complete");
        if !whole.exists() {
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
            }
            fs::create_dir_all(folder.join("bin"))?;
            fs::create_dir_all(folder.join("lib"))?;
            toolkit.install()?;
            toolkit.link()?;
            toolkit.stub_driver()?;
            fs::write(&whole, "")?;
        }
        let script = folder.join("bin/nvidia-smi");
        fs::write(
            &script,
            format!("#!/bin/sh\necho compute_cap\necho {compute_capability}\n"),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(toolkit)
    }

    /// A command that runs a program built with this toolkit on this machine, with the libraries that it needs to start. There is no GPU.
    pub(super) fn program(&self, file: &Path) -> Result<Command> {
        let libraries = [self.folder.join("lib"), self.wheels().join("lib")];
        let mut command = Command::new(file);
        command.env("LD_LIBRARY_PATH", env::join_paths(libraries)?);
        Ok(command)
    }

    /// A cargo command that builds with this toolkit.
    pub(super) fn cargo(&self) -> Result<Command> {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.folder.join("bin"), self.wheels().join("bin")];
        let path: OsString = env::join_paths(own.into_iter().chain(env::split_paths(&path)))?;
        let mut command = Command::new("cargo");
        command.env("PATH", path).env("CUDA_PATH", &self.folder);
        command.current_dir(workspace::root());
        Ok(command)
    }

    fn wheels(&self) -> PathBuf {
        self.folder.join("wheels/nvidia/cu13")
    }

    fn install(&self) -> Result<()> {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
        pip.arg(self.folder.join("wheels")).args(WHEELS);
        finish(pip, "python3 -m pip, to fetch CUDA's wheels from PyPI")
    }

    fn link(&self) -> Result<()> {
        symlink(self.wheels().join("include"), self.folder.join("include"))?;
        for name in LIBRARIES {
            let file = self.wheels().join(format!("lib/lib{name}.so.13"));
            ensure!(file.exists(), "{} is not in the wheels", file.display());
            symlink(file, self.folder.join(format!("lib/lib{name}.so")))?;
        }
        Ok(())
    }

    /// Makes a library with the functions of the driver. Each function returns the error that there is no device.
    fn stub_driver(&self) -> Result<()> {
        const NO_DEVICE: i32 = 100;
        let source: String = driver_functions()?
            .iter()
            .map(|name| format!("int {name}(void) {{ return {NO_DEVICE}; }}\n"))
            .collect();
        let file = self.folder.join("driver.c");
        fs::write(&file, source)?;
        let mut cc = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        cc.args(["-shared", "-Wl,-soname,libcuda.so.1", "-o"]);
        // Programs are linked by one name and loaded by the other.
        cc.arg(self.folder.join("lib/libcuda.so.1")).arg(file);
        finish(cc, "cc, to make a stub of the driver's library")?;
        Ok(symlink("libcuda.so.1", self.folder.join("lib/libcuda.so"))?)
    }
}

/// The names of the driver's functions that cudarc declares.
fn driver_functions() -> Result<BTreeSet<String>> {
    let manifest = workspace::root().join("Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .features(CargoOpt::AllFeatures)
        .exec()?;
    let cudarc = metadata.packages.iter().find(|package| *package.name == "cudarc");
    let folder = cudarc.and_then(|package| package.manifest_path.parent());
    let file = folder
        .context("cudarc is not among the dependencies")?
        .join("src/driver/sys.rs");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let names = text.split("pub fn ").skip(1).filter_map(|after| after.split_once('('));
    Ok(names
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("cu"))
        .collect())
}

/// Runs a command and waits for its end.
///
/// # Errors
/// Returns an error that names `what` if the command cannot be started or fails.
pub(super) fn finish(mut command: Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {what}"))?;
    ensure!(status.success(), "{what}: it failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_s_functions_are_found() {
        let names = driver_functions().unwrap();
        for name in ["cuInit", "cuLaunchKernel", "cuMemAllocAsync", "cuMemPoolSetAttribute"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
