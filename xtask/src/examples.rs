//! `cargo xtask examples`: builds and runs the examples that are workspaces of their own, because they need other frameworks.
//!
//! Each checks itself: it fails if its network is not binary at the end, or not accurate. The other examples are run by the tests.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::{process::Command, time::Instant};

/// Their folders in `examples`.
const FOLDERS: [&str; 2] = ["schedule_with_candle", "schedule_with_burn"];

/// Builds and runs both. The first build downloads the frameworks.
///
/// # Errors
/// If cargo cannot be started, or an example does not build or fails.
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
