//! `archive`: adds the finished runs of sweeps to the archive.

use super::Archive;
use crate::reproduce::preset::Preset;
use crate::usage::UsageError;
use crate::workspace;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};
use stompp_train::RunResult;

/// Options of `archive`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Where sweeps wrote: what `reproduce` got as --out
    #[arg(required = true, value_name = "FOLDER")]
    from: Vec<PathBuf>,
    /// The archive [default: docs/runs in the workspace]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// The archive of the workspace.
pub(crate) fn default_folder() -> PathBuf {
    workspace::root().join("docs/runs")
}

/// Adds every finished run, and says how many.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = options.into.clone().unwrap_or_else(default_folder);
    let archive = Archive::new(folder.clone());
    let (mut added, mut known, mut unfinished) = (0, 0, Vec::new());
    for from in &options.from {
        let runs = runs(from)?;
        if runs.is_empty() {
            return Err(UsageError::new(format!(
                "{} has no runs: pass what `reproduce` got as --out",
                from.display()
            ))
            .into());
        }
        for (preset, name, dir) in runs {
            if !RunResult::exists(&dir) {
                unfinished.push(name);
            } else if archive.add(preset, &name, &dir, None)? {
                added += 1;
            } else {
                known += 1;
            }
        }
    }
    stompp_console::outln!("{added} runs added to {}, {known} were there already", folder.display());
    if !unfinished.is_empty() {
        stompp_console::outln!("not finished, not added: {}", unfinished.join(", "));
    }
    Ok(())
}

/// Preset, name and directory of every run of a sweep, by name.
fn runs(out: &Path) -> Result<Vec<(&'static str, String, PathBuf)>> {
    let mut found = Vec::new();
    for preset in Preset::value_variants() {
        let folder = out.join(preset.name()).join("runs");
        if !folder.is_dir() {
            continue;
        }
        let failed = || format!("cannot look at {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push((preset.name(), name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::testing;
    use stompp_train::RunConfig;

    #[test]
    fn finished_runs_are_added_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (out, into) = (folder.path().join("out"), folder.path().join("runs"));
        let options = Options {
            from: vec![out.clone()],
            into: Some(into.clone()),
        };
        assert!(run(&options).unwrap_err().is::<UsageError>(), "there are none");
        testing::finish(&out.join("small/runs/a"), &RunConfig::default(), 12.5);
        testing::finish(&out.join("smoke/runs/b"), &RunConfig::default(), 12.5);
        fs::remove_file(out.join("smoke/runs/b/result.json")).unwrap();
        run(&options).unwrap();
        run(&options).unwrap();
        assert!(into.join("small/a.json").is_file());
        assert!(!into.join("smoke").exists());
    }
}
