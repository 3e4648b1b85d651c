//! What the machine has: the GPU, CUDA's libraries, PyTorch, NVIDIA's tools.

use crate::process::output;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Libraries that the programs load.
const LIBRARIES: [&str; 5] = [
    "libcuda.so.1",
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libnvrtc.so.13",
    "libcudnn.so.9",
];

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineTools {
    /// Name, driver and memory, a line each GPU, as `nvidia-smi` tells.
    pub(crate) gpu: Option<String>,
    /// Versions of PyTorch, its CUDA and its cuDNN, if `python3` has it and it sees a GPU.
    pub(crate) torch: Option<String>,
    pub(crate) compute_sanitizer: Option<PathBuf>,
    /// Where each library was found; `None`: not in the folders that were searched. The loader also knows the system's own.
    pub(crate) libraries: BTreeMap<String, Option<PathBuf>>,
    /// The system's name and version.
    pub(crate) os: Option<String>,
}

impl MachineTools {
    /// Looks at the machine, within some seconds. On a fake driver PyTorch may be without a GPU.
    pub(crate) fn detect(stand_in: bool) -> Self {
        let quick = Duration::from_secs(10);
        let mut smi = Command::new("nvidia-smi");
        smi.args(["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]);
        let needs_gpu = if stand_in {
            ""
        } else {
            "torch.zeros(1, device='cuda'); "
        };
        let code = format!(
            "import torch; {needs_gpu}print('PyTorch', torch.__version__, 'CUDA', torch.version.cuda, \
             'cuDNN', torch.backends.cudnn.version())"
        );
        let mut python = Command::new("python3");
        python.args(["-c", &code]);
        let mut uname = Command::new("uname");
        uname.arg("-sr");
        let folders = folders(
            "LD_LIBRARY_PATH",
            &["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64"],
        );
        let libraries = LIBRARIES.map(|name| (name.to_owned(), find(&folders, name)));
        Self {
            gpu: output(&mut smi, quick),
            // Its first import reads a gigabyte.
            torch: output(&mut python, Duration::from_secs(60)),
            compute_sanitizer: find(&self::folders("PATH", &[]), "compute-sanitizer"),
            libraries: libraries.into(),
            os: output(&mut uname, quick),
        }
    }
}

/// The folders of a variable, and more.
fn folders(variable: &str, more: &[&str]) -> Vec<PathBuf> {
    let value = env::var_os(variable).unwrap_or_default();
    env::split_paths(&value).chain(more.iter().map(PathBuf::from)).collect()
}

/// The first file of this name. Names without a folder are looked for in the folders only.
fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let named = folders.iter().filter(|folder| *folder != Path::new(""));
    named.map(|folder| folder.join(name)).find(|file| file.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a", "b", "c"].map(|name| folder.path().join(name));
        for folder in &folders[1..] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("libx.so"), "").unwrap();
        }
        assert_eq!(find(&folders, "libx.so"), Some(folders[1].join("libx.so")));
        assert_eq!(find(&folders, "liby.so"), None);
        assert_eq!(
            find(&[PathBuf::new()], "Cargo.toml"),
            None,
            "the current folder was not named"
        );
    }
}
