//! The programs of a bundle: what is built, and which of the tests belong into it.

use super::{toolkit::Toolkit, verify::PACKAGES};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use cargo_metadata::{Message, TargetKind};
use std::{
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program that was built, and its name in the bundle.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

/// What a bundle is built with.
#[derive(Debug)]
pub(super) enum Kit {
    /// CUDA's compilers and libraries, optimized, into a target folder of its own.
    Toolkit(Toolkit),
    /// The fake driver, as tests are built.
    StandIn,
}

impl Kit {
    fn cargo(&self) -> Result<Command> {
        match self {
            Self::Toolkit(toolkit) => toolkit.cargo(),
            Self::StandIn => {
                let mut cargo = Command::new("cargo");
                cargo.current_dir(workspace::root());
                Ok(cargo)
            }
        }
    }

    /// Options of every build.
    fn options(&self) -> Vec<String> {
        match self {
            Self::Toolkit(_) => {
                let target = workspace::root().join("target/cuda");
                vec!["--release".to_owned(), format!("--target-dir={}", target.display())]
            }
            Self::StandIn => Vec::new(),
        }
    }

    fn feature(&self) -> &'static str {
        match self {
            Self::Toolkit(_) => "cuda",
            Self::StandIn => "cuda-stand-in",
        }
    }

    /// A program that was built, ready to start on this machine.
    fn program(&self, file: &Path) -> Result<Command> {
        match self {
            Self::Toolkit(toolkit) => toolkit.program(file),
            Self::StandIn => Ok(Command::new(file)),
        }
    }
}

/// Builds the commands, and the test programs that have a test for a GPU.
pub(super) fn build(kit: &Kit) -> Result<Vec<Program>> {
    let feature = ["--features", kit.feature()];
    let mut programs = cargo(kit, &["build"], &["stompp-cli", "xtask"], &feature)?;
    programs.extend(cargo(kit, &["build"], &["stompp-gpu-day"], &[])?);
    for test in cargo(kit, &["test", "--no-run"], &PACKAGES, &feature)? {
        if has_gpu_tests(kit, &test.file)? {
            programs.push(test);
        }
    }
    Ok(programs)
}

/// Builds packages and returns their programs.
fn cargo(kit: &Kit, verb: &[&str], packages: &[&str], feature: &[&str]) -> Result<Vec<Program>> {
    let mut cargo = kit.cargo()?;
    cargo.args(verb).args(kit.options()).args(feature);
    cargo.args(packages.iter().flat_map(|name| ["--package", *name]));
    cargo
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let mut programs = Vec::new();
    for message in Message::parse_stream(output) {
        let Message::CompilerArtifact(artifact) = message? else {
            continue;
        };
        let Some(file) = artifact.executable else { continue };
        // `cargo test` builds a package's commands, too.
        let test = artifact.profile.test;
        if test != (verb[0] == "test") || !(test || artifact.target.is_kind(TargetKind::Bin)) {
            continue;
        }
        let package = artifact.package_id.repr.rsplit(['/', '#']).nth(1).unwrap_or_default();
        let name = match test {
            true => format!("test-{package}-{}", artifact.target.name),
            false => artifact.target.name.clone(),
        };
        let file = file.into();
        programs.push(Program { name, file });
    }
    ensure!(child.wait()?.success(), "cargo {}: it failed", verb.join(" "));
    Ok(programs)
}

/// Whether a test program has a test for a GPU: their names contain `cuda`.
fn has_gpu_tests(kit: &Kit, file: &Path) -> Result<bool> {
    let mut list = kit.program(file)?;
    list.args(["--list", "--include-ignored", "cuda"]);
    let output = list
        .output()
        .with_context(|| format!("cannot start {}", file.display()))?;
    ensure!(
        output.status.success(),
        "{} --list: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .any(|line| line.ends_with(": test")))
}
