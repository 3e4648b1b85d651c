//! `cargo xtask sanitize`: the tests of the crates with unsafe code under AddressSanitizer. Needs a nightly toolchain, which
//! rustup picks by name; without one it fails and says so.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Where there is unsafe code.
const CRATES: [&str; 2] = ["stompp-kernels", "stompp-nn"];

/// Only with a named target are build scripts and macros left alone.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs the tests.
///
/// # Errors
/// If there is no nightly toolchain, or a test or the sanitizer finds something.
pub(crate) fn run() -> Result<()> {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo", "test", "--tests", "--target", TARGET]);
    cargo.args(CRATES.iter().flat_map(|name| ["--package", name]));
    cargo.args(["--target-dir", "target/sanitize"]);
    cargo.env("RUSTFLAGS", "-Zsanitizer=address").env_remove("RUSTC");
    cargo.current_dir(crate::workspace::root());
    let status = cargo.status().context("cannot start rustup")?;
    ensure!(status.success(), "the tests under AddressSanitizer failed");
    Ok(())
}
