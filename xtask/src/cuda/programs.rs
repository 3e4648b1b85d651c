//! Builds the programs of a bundle: the commands, and the tests that need a GPU.

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
const PACKAGES: [&str; 9] = [
    "stompp-cli",
    "xtask",
    "stompp-gpu-day",
    "stompp-cuda",
    "stompp-parallel",
    "stompp-nn",
    "stompp-binarize",
    "stompp-train",
    "stompp-tests",
];

/// A built program and its name in the bundle.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

/// The toolkit or fake driver that a bundle is built with.
#[derive(Debug)]
pub(super) enum BuildKit {
    /// CUDA's compilers and libraries. Programs are optimized, in a target folder of their own.
    Toolkit(Toolkit),
    /// The fake driver. Programs are built like tests.
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

    /// The cargo options of every build.
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

    /// A command that runs a built program on this machine.
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
    // One test is built together with the commands. Then cargo uses the same features for their dependencies as for all tests, and
    // builds these once.
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

/// Test programs that are not in a bundle. The trainer's unit tests would be a sixth of its size for a single GPU test. The tests of the
/// kernels and the trainer's whole runs cover the same code, and `cuda-verify` runs this test.
const LEFT_OUT: [&str; 1] = ["test-stompp-train-stompp_train"];

/// The commands of a bundle.
const COMMANDS: [&str; 3] = ["stompp", "xtask", "gpu-day"];

/// The cargo options that select the packages with code for a GPU. They are always the same, so that builds are shared.
pub(super) fn package_options() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().flat_map(|name| ["--package", *name])
}

/// The cargo options that select the test targets with a test for a GPU. The names of these tests begin with `cuda_`. Building all test
/// targets would take twice as long.
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
            // A target with several files has its root in a folder of its own.
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

/// Builds the targets of `options` and returns the programs.
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
        // The stream has tests and commands, whichever `verb` is.
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

/// Returns whether a test program has a test for a GPU. The names of these tests contain `cuda`.
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
                "--test=nccl",
                "--test=vectors"
            ]
        );
    }
}
