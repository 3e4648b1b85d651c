//! `cargo xtask cuda-rehearsal`: runs `gpu-day.sh` from beginning to end on the fake driver. It includes what may go wrong: too little
//! time, no cuDNN, no PyTorch, data that arrives file by file.

use super::{
    bundle::assemble,
    programs::{self, BuildKit},
};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Number of images in each file of the data set. `gpu-day` expects this number with the fake driver.
const IMAGES: usize = 100;

/// Number of epochs of each training, which are two turns.
const EPOCHS: &str = "10";

/// Largest number of result files, and the largest size of each.
const MOST_FILES: usize = 8;
const MOST_BYTES: u64 = 16 << 20;

/// Builds the bundle and runs its script several times.
///
/// # Errors
/// Returns an error if a step fails or has another status than expected, or if results are missing.
pub(crate) fn run() -> Result<()> {
    let bundle = workspace::root().join("target/cuda-bundle-stand-in");
    assemble(&bundle, &programs::build(&BuildKit::FakeDriver)?, None, None)?;
    let folder = tempfile::tempdir()?;
    let day = Day::new(bundle, folder.path())?;

    stompp_console::outln!("==> a call that is cut off, without cuDNN");
    day.call(&["--minutes", "0.1"], true)?;
    day.expect("bench", &["cut-off"])?;
    day.expect("training", &["skipped"])?;

    stompp_console::outln!("==> the next one, with half of the data");
    day.data(&["data_batch_1.bin", "data_batch_2.bin", "data_batch_4.bin"])?;
    day.call(&["--minutes", "10", "--data"], true)?;
    for step in [
        "stompp-cuda-kernels",
        "tests-vectors",
        "memcheck",
        "racecheck",
        "bench",
        "profile",
        "speed",
    ] {
        day.expect(step, &["passed"])?;
    }
    // This step takes as long as all others together, so a slow machine may reach its time limit.
    day.expect("tests-cuda", &["passed", "timed-out"])?;
    day.expect("training", &["skipped"])?;
    let why = day.summary()?["steps"].to_string();
    ensure!(
        why.contains("data_batch_3.bin, data_batch_5.bin, test_batch.bin"),
        "what is missing is not named: {why}"
    );

    stompp_console::outln!("==> with all of it, cut off in the trainings");
    day.data(&["data_batch_3.bin", "data_batch_5.bin", "test_batch.bin"])?;
    day.call(&["--epochs", EPOCHS, "--minutes", "0.08", "--data"], false)?;
    day.expect("training", &["cut-off"])?;

    stompp_console::outln!("==> to the end");
    day.call(&["--minutes", "4", "--data"], false)?;
    day.expect("training", &["passed"])?;
    let summary = day.summary()?;
    check_trainings(&summary["training"])?;
    let profile = &summary["profile"][0];
    ensure!(
        profile["rows"].as_array().is_some_and(|rows| rows.len() > 10),
        "the profile has no rows: {profile}"
    );
    let comparisons = summary["bench"]["comparisons"].as_array();
    ensure!(
        comparisons.is_some_and(|all| all.iter().any(|one| one["name"] == "resnet50-schedule")),
        "no ResNet-50"
    );
    check_files(&day.out.join("results"))?;
    stompp_console::outln!("{}", serde_json::to_string_pretty(&summary["steps"])?);
    stompp_console::outln!("{}", serde_json::to_string_pretty(&summary["training"])?);
    Ok(())
}

/// A simulated machine without PyTorch, with compute-sanitizer, and the folders of one day.
struct Day {
    bundle: PathBuf,
    tools: PathBuf,
    data: PathBuf,
    out: PathBuf,
}

impl Day {
    fn new(bundle: PathBuf, folder: &Path) -> Result<Self> {
        let [tools, data, out] = ["tools", "data", "out"].map(|name| folder.join(name));
        fs::create_dir(&tools)?;
        fs::create_dir(&data)?;
        // compute-sanitizer has four arguments of its own before the program.
        for (name, text) in [("python3", "exit 1"), ("compute-sanitizer", "shift 4; exec \"$@\"")] {
            fs::write(tools.join(name), format!("#!/bin/sh\n{text}\n"))?;
            fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self {
            bundle,
            tools,
            data,
            out,
        })
    }

    /// Writes files of the data set, with cyclic labels and arbitrary pixels.
    fn data(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let record = |image: usize| {
                let pixel = move |at: usize| (image * 7 + at * at * 31 + at * 13) as u8;
                std::iter::once((image % 10) as u8).chain((0..3072).map(pixel))
            };
            let bytes: Vec<u8> = (0..IMAGES).flat_map(record).collect();
            fs::write(self.data.join(name), bytes)?;
        }
        Ok(())
    }

    /// Calls the script. If the last argument is `--data`, the data folder is added.
    fn call(&self, arguments: &[&str], without_cudnn: bool) -> Result<()> {
        let mut command = Command::new(self.bundle.join("gpu-day.sh"));
        command.arg("--out").arg(&self.out).args(arguments);
        if arguments.last() == Some(&"--data") {
            command.arg(&self.data);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(std::iter::once(self.tools.clone()).chain(env::split_paths(&path)))?;
        command.env("PATH", path);
        if without_cudnn {
            command.env("STOMPP_STAND_IN_WITHOUT_CUDNN", "1");
        }
        let status = command.status().context("cannot start gpu-day.sh")?;
        // The exit code is 1 if a step reaches its time limit.
        ensure!(matches!(status.code(), Some(0 | 1)), "gpu-day.sh ended with {status}");
        let summary = self.summary()?;
        let failed = summary["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|step| step["status"] == "failed");
        ensure!(failed.is_none(), "a step failed: {failed:?}\n{}", self.logs());
        Ok(())
    }

    fn summary(&self) -> Result<Value> {
        let path = self.out.join("results/summary.json");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn logs(&self) -> String {
        fs::read_to_string(self.out.join("results/logs.txt")).unwrap_or_default()
    }

    fn expect(&self, step: &str, allowed: &[&str]) -> Result<()> {
        let summary = self.summary()?;
        let found = summary["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|found| found["name"] == step);
        let status = found.and_then(|found| found["status"].as_str()).unwrap_or("absent");
        ensure!(
            allowed.contains(&status),
            "step {step}: {status}, expected {allowed:?}\n{}",
            self.logs()
        );
        Ok(())
    }
}

/// Checks that all four methods are finished, with one evaluation after each turn.
fn check_trainings(training: &Value) -> Result<()> {
    let methods = training["methods"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(
        methods.len() == 4 && training["common_epoch"] == 10,
        "not all four methods are done: {training}"
    );
    for method in methods {
        let epochs: Vec<f64> = method["evaluations"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|evaluation| evaluation["epoch"].as_f64())
            .collect();
        ensure!(
            method["finished"] == true && epochs == [5.0, 10.0],
            "not trained in two turns: {method}"
        );
    }
    Ok(())
}

/// Checks that there are few result files and none is large.
fn check_files(results: &Path) -> Result<()> {
    let files: Vec<fs::DirEntry> = fs::read_dir(results)?.collect::<Result<_, _>>()?;
    ensure!(files.len() <= MOST_FILES, "{} files to bring back", files.len());
    for file in files {
        let bytes = file.metadata()?.len();
        ensure!(bytes < MOST_BYTES, "{} has {bytes} bytes", file.path().display());
    }
    Ok(())
}
