//! `cargo xtask examples`: builds and runs the examples that need other frameworks and therefore are workspaces of their own.
//!
//! Each example fails if its network is not binary or not accurate at the end. Tests run the other examples.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::{process::Command, time::Instant};

/// The folders of these examples in `examples`.
const FOLDERS: [&str; 2] = ["schedule_with_candle", "schedule_with_burn"];

/// Builds and runs both examples. The first build downloads the frameworks.
///
/// # Errors
/// Returns an error if cargo cannot be started, or if an example does not build or fails.
pub(crate) fn run() -> Result<()> {
    for folder in FOLDERS {
        let begin = Instant::now();
        let mut cargo = Command::new("cargo");
        cargo.args(["run", "--release", "--locked", "--manifest-path"]);
        cargo.arg(workspace::root().join("examples").join(folder).join("Cargo.toml"));
        cargo
            .arg("--target-dir")
            .arg(workspace::root().join("target/examples").join(folder));
        let status = cargo.status().context("cannot start cargo")?;
        ensure!(status.success(), "examples/{folder} failed");
        stompp_console::outln!("examples/{folder}: {:.0} s", begin.elapsed().as_secs_f64());
    }
    Ok(())
}
