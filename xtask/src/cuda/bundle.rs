//! `cargo xtask cuda-bundle`: one folder with everything that a GPU machine without Rust and without a network runs.

use super::{
    toolkit::{Toolkit, finish},
    verify::PACKAGES,
};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use cargo_metadata::{Message, TargetKind};
use clap::Args;
use std::{
    fs,
    io::BufReader,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use stompp_train::Code;

/// What `cargo xtask cuda-bundle` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Where the bundle goes [default: target/cuda-bundle in the workspace]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Compute capability of the GPUs that it is for: 8.0 is A100, 8.6 and 8.9 are GeForce 30 and 40, 9.0 is H100
    #[arg(long, value_name = "X.Y", default_value = "9.0", value_parser = compute_capability)]
    compute_capability: String,
}

/// Two numbers with a point between them.
fn compute_capability(text: &str) -> Result<String, String> {
    let number = |part: &str| part.parse::<u8>().is_ok();
    match text.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => Ok(text.to_owned()),
        _ => Err("expected two numbers, such as 9.0".to_owned()),
    }
}

/// Files of the bundle that are written as they are: name, text, whether it is a program.
const FILES: [(&str, &str, bool); 2] = [
    ("run.sh", include_str!("run.sh"), true),
    ("verify.sh", include_str!("verify.sh"), true),
];

/// Fetches a toolkit, if there is none from before, builds with it and puts the bundle together.
///
/// # Errors
/// If a tool or the network is missing, or the build fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = workspace::root().join("target");
    let out = options.out.clone().unwrap_or_else(|| target.join("cuda-bundle"));
    let toolkit = Toolkit::prepare(&target.join("cuda-toolkit"), &options.compute_capability)?;
    let built = build(&toolkit, &target.join("cuda"))?;
    // Beside it first, so that a bundle is whole or absent.
    let parts = out.with_extension("part");
    if parts.exists() {
        fs::remove_dir_all(&parts)?;
    }
    fs::create_dir_all(parts.join("bin"))?;
    for Built { name, file } in &built {
        strip(file, &parts.join("bin").join(name))?;
    }
    for (name, text, program) in FILES {
        write(&parts.join(name), text, program)?;
    }
    write(&parts.join("README.md"), &readme(&options.compute_capability)?, false)?;
    copy_folder(&workspace::root().join("tests/vectors"), &parts.join("vectors"))?;
    copy_folder(&workspace::root().join("benches/peers"), &parts.join("benches/peers"))?;
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
    }
    fs::rename(&parts, &out).with_context(|| format!("making {}", out.display()))?;
    stompp_console::outln!(
        "{}: {} programs; its README.md says how to run them",
        out.display(),
        built.len()
    );
    Ok(())
}

/// A program that was built, and its name in the bundle.
struct Built {
    name: String,
    file: PathBuf,
}

/// Builds the programs, and the tests as programs.
fn build(toolkit: &Toolkit, target: &Path) -> Result<Vec<Built>> {
    let mut built = Vec::new();
    let tests = PACKAGES.to_vec();
    for (verb, packages) in [
        (&["build"][..], vec!["stompp-cli", "xtask"]),
        (&["test", "--no-run"][..], tests),
    ] {
        let mut cargo = toolkit.cargo()?;
        cargo
            .args(verb)
            .args(["--release", "--features", "cuda", "--target-dir"])
            .arg(target);
        cargo.args(packages.iter().flat_map(|name| ["--package", *name]));
        cargo
            .arg("--message-format=json-render-diagnostics")
            .stdout(Stdio::piped());
        let mut child = cargo.spawn().context("cannot start cargo")?;
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        for message in Message::parse_stream(output) {
            if let Message::CompilerArtifact(artifact) = message?
                && let Some(file) = artifact.executable
                && (artifact.profile.test || artifact.target.is_kind(TargetKind::Bin))
            {
                let package = artifact.package_id.repr.rsplit(['/', '#']).nth(1).unwrap_or_default();
                let name = match artifact.profile.test {
                    true => format!("test-{package}-{}", artifact.target.name),
                    false => artifact.target.name.clone(),
                };
                built.push(Built {
                    name,
                    file: file.into(),
                });
            }
        }
        ensure!(child.wait()?.success(), "cargo {}: it failed", verb.join(" "));
    }
    Ok(built)
}

/// Copies a program without what debuggers need.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(to).arg(from);
    finish(strip, "strip")
}

fn write(path: &Path, text: &str, program: bool) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    if program {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// What the bundle says of itself.
fn readme(compute_capability: &str) -> Result<String> {
    let ldd = Command::new("ldd")
        .arg("--version")
        .output()
        .context("cannot start ldd")?;
    let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let glibc = text.lines().next().and_then(|line| line.rsplit(' ').next());
    Ok(include_str!("bundle.md")
        .replace("CAPABILITY", compute_capability)
        .replace("REVISION", &Code::current().revision)
        .replace("GLIBC", glibc.unwrap_or("of the machine that built them")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compute_capability_is_two_numbers() {
        assert!(compute_capability("9.0").is_ok() && compute_capability("12.1").is_ok());
        for text in ["9", "sm_90", "9.x", ""] {
            assert!(compute_capability(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_readme_names_every_folder_that_the_script_looks_in() {
        let readme = readme("9.0").unwrap();
        assert!(!readme.contains("REVISION") && readme.contains("9.0"));
        let (_, script, _) = FILES[0];
        let folders = script.lines().find_map(|line| line.strip_prefix("for folder in "));
        let folders = folders.and_then(|line| line.strip_suffix("; do")).unwrap();
        for folder in folders.split(' ').chain(["STOMPP_CUDA_LIBRARIES", "nvidia/*/lib"]) {
            assert!(readme.contains(folder), "{folder}");
        }
    }
}
