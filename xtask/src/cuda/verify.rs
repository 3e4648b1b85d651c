//! `cargo xtask cuda-verify`: the tests of everything that runs on a GPU, on one, or without one on the fake driver.

use super::programs::{gpu_test_targets, package_options};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::process::Command;

/// What `cargo xtask cuda-verify` takes.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// Without a GPU: the same tests on smaller networks, with the CPU standing in for the device (needs a C++ compiler)
    #[arg(long)]
    stand_in: bool,
}

/// Runs the tests.
///
/// # Errors
/// If one fails, or there is no toolkit to build them with.
pub(crate) fn run(options: Options) -> Result<()> {
    let mut command = Command::new("cargo");
    command.arg("test").args(package_options()).args(gpu_test_targets()?);
    if options.stand_in {
        command.args(["--features", "cuda-stand-in", "cuda"]);
    } else {
        // Tests that need a GPU are ignored unless they are asked for.
        command.args(["--release", "--features", "cuda", "--", "--ignored", "cuda"]);
    }
    let status = command.current_dir(workspace::root()).status();
    ensure!(
        status.context("cannot start cargo")?.success(),
        "not everything that runs on a GPU is right; docs/cuda.md says what it needs"
    );
    Ok(())
}
