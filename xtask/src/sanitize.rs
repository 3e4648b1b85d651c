//! `cargo xtask sanitize`: AddressSanitizer over the crates with unsafe code, and Miri over those that it can run.
//!
//! The sanitizer runs with the pinned compiler, told to take unstable flags: dfdx, seeing a nightly one, switches on code that today's
//! compilers reject. Miri needs a nightly toolchain with the components `miri` and `rust-src`, and runs what knows no tensors.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Where there is unsafe code.
const UNSAFE: [&str; 3] = ["stompp-kernels", "stompp-nn", "stompp-data"];

/// What Miri runs: what knows neither tensors nor files (it has no `renameat2`). The kernels take their portable path there.
const BELOW: [&str; 3] = ["stompp-rng", "stompp-schedule", "stompp-kernels"];

/// Only with a named target are build scripts and macros left alone.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs both.
///
/// # Errors
/// If a tool is missing, or a test or a tool finds something.
pub(crate) fn run() -> Result<()> {
    let mut sanitizer = Command::new("cargo");
    sanitizer.args(["test", "--tests", "--target", TARGET, "--target-dir", "target/sanitize"]);
    sanitizer.args(packages(&UNSAFE));
    sanitizer
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address");
    finish(sanitizer, "AddressSanitizer")?;

    let mut miri = Command::new("rustup");
    miri.args([
        "run",
        "nightly",
        "cargo",
        "miri",
        "test",
        "--lib",
        "--target-dir",
        "target/miri",
    ]);
    miri.args(packages(&BELOW));
    // The clock is the machine's; rayon's threads are never joined; dfdx's tensors are not here, but our views of them ask
    // for these rules (`stompp-nn/src/cpu/view.rs`), so all is held to the same.
    miri.env(
        "MIRIFLAGS",
        "-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows",
    );
    miri.env("PROPTEST_CASES", "2")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    finish(miri, "Miri (rustup component add --toolchain nightly miri rust-src)")
}

fn packages<'a>(names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["--package", *name])
}

fn finish(mut command: Command, tool: &str) -> Result<()> {
    command.current_dir(crate::workspace::root());
    let status = command.status().with_context(|| format!("cannot start {tool}"))?;
    ensure!(status.success(), "the tests under {tool} failed");
    Ok(())
}
