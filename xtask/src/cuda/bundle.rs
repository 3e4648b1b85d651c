//! `cargo xtask cuda-bundle`: makes a folder with all programs for a GPU machine that has no Rust and no network.

use super::{
    programs::{self, BuildKit, Program},
    toolkit::{Toolkit, finish},
};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};
use stompp_train::CodeVersion;

/// Options of `cargo xtask cuda-bundle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Folder of the bundle [default: target/cuda-bundle in the workspace]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Compute capability of the GPUs: 8.0 is A100, 8.6 and 8.9 are GeForce 30 and 40, 9.0 is H100
    #[arg(long, value_name = "X.Y", default_value = "9.0", value_parser = compute_capability)]
    compute_capability: String,
    /// Fail if the bundle is larger than this many MiB
    #[arg(long, value_name = "MIB")]
    max_size: Option<u32>,
}

/// Parses two numbers with a point between them.
fn compute_capability(text: &str) -> Result<String, String> {
    let number = |part: &str| part.parse::<u8>().is_ok();
    match text.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => Ok(text.to_owned()),
        _ => Err("expected two numbers, such as 9.0".to_owned()),
    }
}

/// Text files of the bundle: name, text, and whether the file is executable.
const FILES: [(&str, &str, bool); 3] = [
    ("run.sh", include_str!("run.sh"), true),
    ("verify.sh", include_str!("verify.sh"), true),
    ("gpu-day.sh", include_str!("gpu-day.sh"), true),
];

/// Fetches a toolkit unless there is one already, builds the programs and makes the bundle.
///
/// # Errors
/// Returns an error if a tool or the network is missing, the build fails, or the bundle is larger than `--max-size`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = workspace::root().join("target");
    let out = options.out.clone().unwrap_or_else(|| target.join("cuda-bundle"));
    let toolkit = Toolkit::prepare(&target.join("cuda-toolkit"), &options.compute_capability)?;
    let programs = programs::build(&BuildKit::Toolkit(toolkit))?;
    let limit = options.max_size.map(|mib| u64::from(mib) * MIB);
    let bytes = assemble(&out, &programs, Some(&options.compute_capability), limit)?;
    stompp_console::outln!(
        "{}: {} programs, {:.1} MiB; its README.md says how to run them",
        out.display(),
        programs.len(),
        bytes as f64 / MIB as f64
    );
    Ok(())
}

const MIB: u64 = 1 << 20;

/// Makes the bundle in the folder `out` and returns its size in bytes. Without a compute capability, it is a bundle with the fake driver.
///
/// # Errors
/// Returns an error that names the largest files if the bundle has more than `limit` bytes. Then `out` is not changed.
pub(super) fn assemble(
    out: &Path,
    programs: &[Program],
    compute_capability: Option<&str>,
    limit: Option<u64>,
) -> Result<u64> {
    // The bundle is made in another folder and then renamed, so that it is complete or absent.
    let parts = out.with_extension("part");
    if parts.exists() {
        fs::remove_dir_all(&parts)?;
    }
    fs::create_dir_all(parts.join("bin"))?;
    for Program { name, file } in programs {
        strip(file, &parts.join("bin").join(name))?;
    }
    for (name, text, program) in FILES {
        write(&parts.join(name), text, program)?;
    }
    if let Some(compute_capability) = compute_capability {
        write(&parts.join("README.md"), &readme(compute_capability)?, false)?;
    }
    write(
        &parts.join("bundle.json"),
        &bundle_info(compute_capability.is_none())?,
        false,
    )?;
    copy_folder(&workspace::root().join("tests/vectors"), &parts.join("vectors"))?;
    copy_folder(&workspace::root().join("benches/peers"), &parts.join("benches/peers"))?;
    let bytes = check_size(&parts, limit)?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    fs::rename(&parts, out).with_context(|| format!("making {}", out.display()))?;
    Ok(bytes)
}

/// The content of `bundle.json`, which `gpu-day` reads.
fn bundle_info(stand_in: bool) -> Result<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let about = serde_json::json!({
        "revision": CodeVersion::current().revision,
        "built": since.as_millis().to_string(),
        "stand_in": stand_in,
    });
    Ok(serde_json::to_string_pretty(&about)? + "\n")
}

/// Returns the size of all files in `folder` in bytes, or an error if it is more than `limit`.
fn check_size(folder: &Path, limit: Option<u64>) -> Result<u64> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).with_context(|| format!("reading {}", inner.display()))? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.metadata()?.len(), entry.path())),
            }
        }
    }
    files.sort_by(|a, b| b.cmp(a));
    let bytes = files.iter().map(|(bytes, _)| bytes).sum();
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let name = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let named = |(bytes, path): &(u64, PathBuf)| format!("{} {:.1}", name(path), mib(*bytes));
    let largest: Vec<String> = files.iter().take(8).map(named).collect();
    ensure!(
        limit.is_none_or(|limit| bytes <= limit),
        "--max-size: the bundle has {:.1} MiB, not {:.0}; its largest files: {}",
        mib(bytes),
        mib(limit.unwrap_or_default()),
        largest.join(", ")
    );
    Ok(bytes)
}

/// Copies a program without its debug information.
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

/// The README of the bundle.
fn readme(compute_capability: &str) -> Result<String> {
    let ldd = Command::new("ldd")
        .arg("--version")
        .output()
        .context("cannot start ldd")?;
    let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let glibc = text.lines().next().and_then(|line| line.rsplit(' ').next());
    Ok(include_str!("bundle.md")
        .replace("CAPABILITY", compute_capability)
        .replace("REVISION", &CodeVersion::current().revision)
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
    fn a_bundle_that_is_too_large_is_refused_and_its_largest_file_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/large"), vec![0; 3 << 20]).unwrap();
        fs::write(folder.path().join("small"), vec![0; 1 << 20]).unwrap();
        assert_eq!(check_size(folder.path(), None).unwrap(), 4 << 20);
        assert_eq!(check_size(folder.path(), Some(4 << 20)).unwrap(), 4 << 20);
        let refused = check_size(folder.path(), Some((4 << 20) - 1)).unwrap_err().to_string();
        assert!(
            refused.contains("--max-size") && refused.contains("bin/large 3.0"),
            "{refused}"
        );
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
