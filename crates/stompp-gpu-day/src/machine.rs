//! Detection of the machine's GPU, CUDA libraries, PyTorch and NVIDIA tools.

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

/// The detected hardware and software.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineTools {
    /// Name, driver and memory from `nvidia-smi`, one line per GPU.
    pub(crate) gpu: Option<String>,
    /// Versions of PyTorch, its CUDA and its cuDNN, if `python3` can import it and it finds a GPU.
    pub(crate) torch: Option<String>,
    pub(crate) compute_sanitizer: Option<PathBuf>,
    /// The path of each library; `None` if it is not in the searched folders. The loader also searches the system's default folders.
    pub(crate) libraries: BTreeMap<String, Option<PathBuf>>,
    /// Name and version of the operating system.
    pub(crate) os: Option<String>,
}

impl MachineTools {
    /// Examines the machine. The queries have time limits. With a fake driver (`stand_in`), PyTorch does not need a GPU.
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
            // The first import reads a gigabyte.
            torch: output(&mut python, Duration::from_secs(60)),
            compute_sanitizer: find(&self::folders("PATH", &[]), "compute-sanitizer"),
            libraries: libraries.into(),
            os: output(&mut uname, quick),
        }
    }
}

/// The folders in an environment variable, followed by `more`.
fn folders(variable: &str, more: &[&str]) -> Vec<PathBuf> {
    let value = env::var_os(variable).unwrap_or_default();
    env::split_paths(&value).chain(more.iter().map(PathBuf::from)).collect()
}

/// The first file of this name in `folders`. Empty folder names, which mean the current folder, are skipped.
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
