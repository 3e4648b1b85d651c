//! `--merge`: finished runs of other machines, brought together.

use super::files;
use super::ledger::Ledger;
use super::run_dir::{self, RunState};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Takes the finished runs of `ledger`'s cells from each of the folders, which are other sweeps' `--out`, unless they are here
/// already. Returns how many were taken.
///
/// # Errors
/// If a folder has no runs of this preset, holds another run under a cell's name, or a finished run here and there found different
/// accuracies; if files cannot be copied. What was taken until then stays.
pub(crate) fn take(ledger: &mut Ledger, folders: &[PathBuf], out: &Path) -> Result<usize> {
    let preset = ledger.scale.preset.name();
    let mut taken = 0;
    for folder in folders {
        let runs = folder.join(preset).join("runs");
        if !runs.is_dir() {
            bail!(
                "{} has no runs of preset {preset}: there is no {}",
                folder.display(),
                runs.display()
            );
        }
        for entry in &mut ledger.entries {
            let Some(config) = entry.cell.config() else {
                continue;
            };
            let there = runs.join(entry.cell.name());
            let RunState::Finished(theirs) = run_dir::inspect(&there, config)? else {
                continue;
            };
            if let Some(ours) = entry.record() {
                if ours.result.top1 != theirs.result.top1 {
                    bail!(
                        "{} and {} are the same run with different results, top-1 {} and {} %: remove one of them",
                        entry.dir.display(),
                        there.display(),
                        ours.result.top1,
                        theirs.result.top1
                    );
                }
                continue;
            }
            copy(&there, &entry.dir, out)?;
            entry.refresh()?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Copies a run directory, whole or not at all: what is there of an unfinished run is replaced.
fn copy(from: &Path, to: &Path, out: &Path) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    files::create_folder(to.parent().unwrap_or(out))?;
    let staging = tempfile::Builder::new()
        .prefix(".stompp-")
        .tempdir_in(out)
        .with_context(failed)?;
    let copy = staging.path().join("run");
    copy_tree(from, &copy).with_context(failed)?;
    if to.exists() {
        fs::rename(to, staging.path().join("unfinished")).with_context(failed)?;
    }
    fs::rename(&copy, to).with_context(failed)
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy_tree(&item.path(), &target)?;
        } else {
            fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}
