//! Finished runs of other machines, copied here.

use crate::files;
use crate::run_dir::{self, RunDirState};
use crate::run_index::RunIndex;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Copies the finished runs of `index` from each of the folders, which other sweeps wrote to, unless they are here already. Returns
/// how many were copied.
///
/// # Errors
/// If a folder has no runs of this setup, or another run under the same name, or a run has different accuracies here and there; if
/// files cannot be copied. What was copied until then stays.
pub(super) fn copy_finished(index: &mut RunIndex, folders: &[PathBuf], out: &Path) -> Result<usize> {
    let setup = &index.setup.name;
    let mut copied = 0;
    for folder in folders {
        let runs = folder.join(setup).join("runs");
        if !runs.is_dir() {
            bail!(
                "{} has no runs of preset {setup}: there is no {}",
                folder.display(),
                runs.display()
            );
        }
        for entry in &mut index.entries {
            let Some(config) = entry.spec.config() else {
                continue;
            };
            let there = runs.join(entry.spec.name());
            let RunDirState::Finished(theirs) = run_dir::inspect(&there, config)? else {
                continue;
            };
            if let Some(ours) = entry.finished_run() {
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
            copied += 1;
        }
    }
    Ok(copied)
}

/// Copies a run directory, whole or not at all. It replaces an unfinished run.
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
