//! `cargo xtask sanitize`: runs AddressSanitizer on the crates with unsafe code, and Miri on the crates that it can run.
//!
//! The sanitizer runs with the pinned compiler and `RUSTC_BOOTSTRAP`. With a nightly compiler, dfdx enables code that current compilers
//! reject. Miri needs a nightly toolchain with the components `miri` and `rust-src`. It runs crates that do not depend on tensors.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// The crates with unsafe code.
const UNSAFE: [&str; 3] = ["stompp-infer", "stompp-kernels", "stompp-nn"];

/// The crates that Miri runs. `stompp-files` is not among them because Miri has no `renameat2`, and `stompp-kernels` because its tests take
/// more than a quarter of an hour.
const BELOW: [&str; 2] = ["stompp-rng", "stompp-schedule"];

/// The tests of these crates that take Miri less than a minute.
const QUICK: [&str; 5] = ["--lib", "--test", "golden", "--test", "mask"];

/// With an explicit target, the flags do not apply to build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs both tools.
///
/// # Errors
/// Returns an error if a tool is missing, a test fails, or a tool finds something.
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
    // Property tests read environment variables. With the default number of cases they would take hours.
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
