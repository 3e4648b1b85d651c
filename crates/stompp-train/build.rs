//! Tells the crate which commit and which compiler it is built from; git is needed neither to build nor to run.

use std::{env, path::Path, process::Command};

fn main() {
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let revision = output(
        "git",
        &[
            "--no-optional-locks",
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ],
    );
    println!("cargo::rustc-env=STOMPP_REVISION={}", revision.unwrap_or(version));
    let rustc = env::var("RUSTC").expect("cargo sets it");
    println!(
        "cargo::rustc-env=STOMPP_RUSTC={}",
        output(&rustc, &["--version"]).unwrap_or_else(|| rustc.clone())
    );

    // Whatever can change the revision or make the tree differ from it; a path that is missing would rerun this always.
    let mut watched = vec![
        "../../Cargo.toml".to_owned(),
        "../../Cargo.lock".to_owned(),
        "..".to_owned(),
    ];
    if let Some(git) = output("git", &["rev-parse", "--git-dir"]) {
        watched.extend(["HEAD", "index", "logs/HEAD"].map(|file| format!("{git}/{file}")));
    }
    for path in watched.iter().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// The first line that a command prints, if it succeeds.
fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
