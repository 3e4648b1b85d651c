//! The bundle: its programs, and the size of its runs.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// `bundle.json`, written by `cargo xtask cuda-bundle`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BundleInfo {
    /// The commit that was built.
    pub(crate) revision: String,
    /// Identifies the bundle: no two bundles have the same value.
    pub(crate) built: String,
    /// Whether the bundle contains a fake driver that uses the CPU as its device.
    pub(crate) stand_in: bool,
}

/// A bundle's folder.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    folder: PathBuf,
    pub(crate) info: BundleInfo,
}

impl Bundle {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("bundle.json");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let about = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        // An absolute path: commands may run in other folders.
        let folder = folder
            .canonicalize()
            .with_context(|| format!("finding {}", folder.display()))?;
        Ok(Self { folder, info: about })
    }

    /// Returns a command for the program `name` of the bundle.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join("bin").join(name))
    }

    /// Names of the test programs in the order to run them: kernels first, whole runs last.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        let bin = self.folder.join("bin");
        let mut names = Vec::new();
        for entry in fs::read_dir(&bin).with_context(|| format!("reading {}", bin.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("test-") {
                names.push(name);
            }
        }
        let rank = |name: &str| match name {
            KERNEL_TESTS => 0,
            "test-tests-vectors" => 1,
            "test-tests-cuda" => 3,
            _ => 2,
        };
        names.sort_by_key(|name| (rank(name), name.clone()));
        Ok(names)
    }

    /// The size of the runs. With the fake driver they take seconds.
    pub(crate) fn scale(&self) -> &'static Scale {
        if self.info.stand_in { &FAKE } else { &FULL }
    }
}

/// The tests of single kernels, which also run under compute-sanitizer.
pub(crate) const KERNEL_TESTS: &str = "test-stompp-cuda-kernels";

/// The size of trainings.
#[derive(Debug)]
pub(crate) struct Scale {
    /// Options of `stompp train`.
    pub(crate) network: &'static [&'static str],
    /// Images in each file of CIFAR-10.
    pub(crate) images_per_file: u64,
    /// Factor for the time limits of steps; 1 on a GPU.
    pub(crate) limits: f64,
    /// Rounds of the benchmark.
    pub(crate) bench_turns: &'static str,
    /// Additional options of the run that measures the speed.
    pub(crate) speed_run_options: &'static [&'static str],
    /// Seconds before the first step of a process: it compiles kernels and reads images.
    pub(crate) start_s: f64,
}

const FULL: Scale = Scale {
    network: &["--model", "resnet18", "--batch-size", "256", "--learning-rate", "0.1"],
    images_per_file: 10_000,
    limits: 1.0,
    bench_turns: "5",
    speed_run_options: &["--train-limit", "25600", "--test-limit", "1000", "--steps", "100ba"],
    start_s: 6.0,
};

const FAKE: Scale = Scale {
    network: &[
        "--model",
        "resnet8",
        "--width",
        "4",
        "--image-size",
        "8",
        "--batch-size",
        "20",
        "--learning-rate",
        "0.02",
    ],
    images_per_file: 100,
    limits: 0.5,
    bench_turns: "1",
    speed_run_options: &["--train-limit", "500", "--test-limit", "100", "--steps", "20ba"],
    start_s: 1.0,
};
