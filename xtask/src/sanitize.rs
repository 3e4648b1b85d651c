//! `cargo xtask sanitize`: AddressSanitizer over the crates with unsafe code, and Miri over those that it can run.
//!
//! The sanitizer runs with the pinned compiler, told to take unstable flags: dfdx, seeing a nightly one, switches on code that today's
//! compilers reject. Miri needs a nightly toolchain with the components `miri` and `rust-src`, and runs what knows no tensors.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Where there is unsafe code.
const UNSAFE: [&str; 3] = ["stompp-infer", "stompp-kernels", "stompp-nn"];

/// What Miri runs. Not files: it has no `renameat2`. Not the kernels: their tests were not through after a quarter of an hour.
const BELOW: [&str; 2] = ["stompp-rng", "stompp-schedule"];

/// Their tests that Miri is through with in a minute.
const QUICK: [&str; 5] = ["--lib", "--test", "golden", "--test", "mask"];

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
    miri.args(["run", "nightly", "cargo", "miri", "test", "--target-dir", "target/miri"]);
    miri.args(packages(&BELOW)).args(QUICK);
    // Property tests ask for their environment, and would take hours.
    miri.env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "2");
    for inherited in ["RUSTC", "RUSTUP_TOOLCHAIN", "CARGO"] {
        miri.env_remove(inherited);
    }
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
