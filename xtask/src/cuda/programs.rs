//! The programs of a bundle: what is built, and which of the tests belong into it.

use super::toolkit::Toolkit;
use crate::{tidy::rust_files, workspace};
use anyhow::{Context, Result, ensure};
use cargo_metadata::{Message, MetadataCommand, TargetKind};
use std::{
    collections::BTreeSet,
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The packages with commands for a GPU machine, and those with tests for a GPU.
const PACKAGES: [&str; 8] = [
    "stompp-cli",
    "xtask",
    "stompp-gpu-day",
    "stompp-cuda",
    "stompp-nn",
    "stompp-binarize",
    "stompp-train",
    "stompp-tests",
];

/// A program that was built, and its name in the bundle.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

/// What a bundle is built with.
#[derive(Debug)]
pub(super) enum BuildKit {
    /// CUDA's compilers and libraries, optimized, into a target folder of its own.
    Toolkit(Toolkit),
    /// The fake driver, as tests are built.
    FakeDriver,
}

impl BuildKit {
    fn cargo(&self) -> Result<Command> {
        match self {
            Self::Toolkit(toolkit) => toolkit.cargo(),
            Self::FakeDriver => {
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
                vec![
                    "--profile=bundle".to_owned(),
                    format!("--target-dir={}", target.display()),
                ]
            }
            Self::FakeDriver => Vec::new(),
        }
    }

    fn feature(&self) -> &'static str {
        match self {
            Self::Toolkit(_) => "cuda",
            Self::FakeDriver => "cuda-stand-in",
        }
    }

    /// A program that was built, ready to start on this machine.
    fn program(&self, file: &Path) -> Result<Command> {
        match self {
            Self::Toolkit(toolkit) => toolkit.program(file),
            Self::FakeDriver => Ok(Command::new(file)),
        }
    }
}

/// Builds the commands, and the test programs that have a test for a GPU.
pub(super) fn build(kit: &BuildKit) -> Result<Vec<Program>> {
    let tests = gpu_test_targets()?;
    // One of the tests is built with the commands: then cargo takes the same features for their dependencies as for all tests, and
    // builds them once.
    let commands = COMMANDS.iter().map(|name| format!("--bin={name}"));
    let one_test = tests.iter().find(|option| option.starts_with("--test=")).cloned();
    let mut programs = cargo(kit, "build", commands.chain(one_test))?;
    for test in cargo(kit, "test", tests.into_iter().chain(["--no-run".to_owned()]))? {
        if !LEFT_OUT.contains(&test.name.as_str()) && has_gpu_tests(kit, &test.file)? {
            programs.push(test);
        }
    }
    Ok(programs)
}

/// Test programs that a bundle does without: the trainer's unit tests would be a sixth of it for a single test, of what the kernels' tests
/// show of images, and the whole runs of the trainer. `cuda-verify` runs it.
const LEFT_OUT: [&str; 1] = ["test-stompp-train-stompp_train"];

/// The commands of a bundle.
const COMMANDS: [&str; 3] = ["stompp", "xtask", "gpu-day"];

/// Options that select what is built and tested for a GPU: the same packages each time, so that they share one build.
pub(super) fn package_options() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().flat_map(|name| ["--package", *name])
}

/// Options that select the test targets whose sources have a test for a GPU: their names begin with `cuda_`. Building all of them would
/// take twice as long.
pub(super) fn gpu_test_targets() -> Result<BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let mut options = BTreeSet::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| PACKAGES.contains(&package.name.as_str()))
    {
        for target in &package.targets {
            let option = if target.is_kind(TargetKind::Lib) {
                "--lib".to_owned()
            } else if target.is_kind(TargetKind::Test) {
                format!("--test={}", target.name)
            } else {
                continue;
            };
            // The root of a target of several files stands in a folder of its own.
            let root = target.src_path.as_std_path();
            let alone = target.is_kind(TargetKind::Test) && root.file_stem().is_some_and(|stem| stem != "main");
            let files = match root.parent() {
                Some(folder) if !alone => rust_files(folder)?,
                _ => vec![root.to_owned()],
            };
            for file in files {
                let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
                if text.contains("fn cuda_") {
                    options.insert(option.clone());
                }
            }
        }
    }
    Ok(options)
}

/// Builds what `options` select, and returns the programs.
fn cargo(kit: &BuildKit, verb: &str, options: impl Iterator<Item = String>) -> Result<Vec<Program>> {
    let mut cargo = kit.cargo()?;
    cargo
        .arg(verb)
        .args(kit.options())
        .args(package_options())
        .args(options);
    cargo.args(["--features", kit.feature()]);
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
        // Tests and commands come in one stream, whichever was asked for.
        let test = artifact.profile.test;
        if test != (verb == "test") || !(test || artifact.target.is_kind(TargetKind::Bin)) {
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
    ensure!(child.wait()?.success(), "cargo {verb} failed");
    Ok(programs)
}

/// Whether a test program has a test for a GPU: their names contain `cuda`.
fn has_gpu_tests(kit: &BuildKit, file: &Path) -> Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_with_tests_for_a_gpu_are_found() {
        let options: Vec<String> = gpu_test_targets().unwrap().into_iter().collect();
        assert_eq!(
            options,
            [
                "--lib",
                "--test=boundary",
                "--test=cuda",
                "--test=cuda_not_open",
                "--test=kernels",
                "--test=vectors"
            ]
        );
    }
}
