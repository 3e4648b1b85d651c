//! `cargo xtask cuda-verify`: the tests of all code for a GPU, on a GPU or on the fake driver.

use super::programs::{gpu_test_targets, package_options};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::process::Command;

/// Options of `cargo xtask cuda-verify`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// Without a GPU: run the same tests on smaller networks with a fake driver, which computes on the CPU (needs a C++ compiler)
    #[arg(long)]
    stand_in: bool,
}

/// Runs the tests.
///
/// # Errors
/// Returns an error if a test fails, or if there is no toolkit to build the tests with.
pub(crate) fn run(options: Options) -> Result<()> {
    let mut command = Command::new("cargo");
    command.arg("test").args(package_options()).args(gpu_test_targets()?);
    if options.stand_in {
        command.args(["--features", "cuda-stand-in", "cuda"]);
    } else {
        // Tests that need a GPU are marked `ignored`.
        command.args(["--release", "--features", "cuda", "--", "--ignored", "cuda"]);
    }
    let status = command.current_dir(workspace::root()).status();
    ensure!(
        status.context("cannot start cargo")?.success(),
        "not everything that runs on a GPU is right; docs/cuda.md says what it needs"
    );
    Ok(())
}
