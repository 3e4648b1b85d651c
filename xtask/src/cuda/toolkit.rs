//! What of CUDA's toolkit a build needs, for a machine that has neither toolkit nor GPU: from NVIDIA's wheels on PyPI.
//!
//! Compiler and libraries are those of CUDA 13.0: newer ones emit PTX that a 13.0 driver rejects. The driver's own library, which
//! no wheel has, is replaced by one that is linked against and not shipped; `nvidia-smi`, which dfdx's build asks for the GPU to
//! build for, by a script that names it.

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

/// Libraries that are linked: names without versions point at the wheels' files.
const LIBRARIES: [&str; 3] = ["cublas", "cublasLt", "nvrtc"];

/// A toolkit in a folder of its own.
#[derive(Debug)]
pub(super) struct Toolkit {
    folder: PathBuf,
}

impl Toolkit {
    /// Makes one in `folder`, for GPUs of this compute capability. What is there already is kept.
    ///
    /// # Errors
    /// If Python, its pip, a C compiler or the network is missing.
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

    /// A program that was built with it, with the libraries that it needs to start. There is no GPU.
    pub(super) fn program(&self, file: &Path) -> Result<Command> {
        let libraries = [self.folder.join("lib"), self.wheels().join("lib")];
        let mut command = Command::new(file);
        command.env("LD_LIBRARY_PATH", env::join_paths(libraries)?);
        Ok(command)
    }

    /// A command that builds with it.
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

    /// A library with the names of the driver's functions, each of which says that there is no device.
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
        // Linked by the one name, loaded by the other.
        cc.arg(self.folder.join("lib/libcuda.so.1")).arg(file);
        finish(cc, "cc, to make a stub of the driver's library")?;
        Ok(symlink("libcuda.so.1", self.folder.join("lib/libcuda.so"))?)
    }
}

/// The driver's functions that cudarc declares.
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

/// Runs a command to its end.
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
