//! Tells the crate which commit and which compiler it is built from; git is needed neither to build nor to run.

use std::{env, path::Path, process::Command};

fn main() {
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let package = is_package();
    let revision = if package {
        packaged_revision()
    } else {
        output(
            "git",
            &[
                "--no-optional-locks",
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
                "--exclude=*",
            ],
        )
    };
    println!("cargo::rustc-env=STOMPP_REVISION={}", revision.unwrap_or(version));
    let rustc = env::var("RUSTC").expect("cargo sets it");
    println!(
        "cargo::rustc-env=STOMPP_RUSTC={}",
        output(&rustc, &["--version"]).unwrap_or_else(|| rustc.clone())
    );

    // Whatever can change the revision or make the tree differ from it; a path that is missing would rerun this always.
    let mut watched: Vec<String> = if package {
        vec![VCS_INFO.to_owned()]
    } else {
        ["../../Cargo.toml", "../../Cargo.lock", ".."]
            .map(str::to_owned)
            .to_vec()
    };
    if !package && let Some(git) = output("git", &["rev-parse", "--git-dir"]) {
        watched.extend(["HEAD", "index", "logs/HEAD"].map(|file| format!("{git}/{file}")));
    }
    for path in watched.iter().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What `cargo package` writes about the commit that a package is made from.
const VCS_INFO: &str = ".cargo_vcs_info.json";

/// Whether this is an unpacked package and not a checkout. `..` then belongs to others, and so does a repository that git finds.
fn is_package() -> bool {
    Path::new("Cargo.toml.orig").exists()
}

/// The commit that the package is made from, as long as git's would be.
fn packaged_revision() -> Option<String> {
    let text = std::fs::read_to_string(VCS_INFO).ok()?;
    let (_, hash) = text.split_once("\"sha1\": \"")?;
    let dirty = if text.contains("\"dirty\": true") { "-dirty" } else { "" };
    Some(format!("{}{dirty}", hash.get(..12)?))
}

/// The first line that a command prints, if it succeeds.
fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
