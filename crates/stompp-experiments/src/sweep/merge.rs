//! Copying the finished runs of other machines.

use crate::error::{ExperimentError, Result};
use crate::files;
use crate::run_dir::{self, RunDirState};
use crate::run_index::RunIndex;
use std::fs;
use std::path::{Path, PathBuf};

/// Copies the finished runs of `index` from the output folders of other sweeps, unless they are here already. Returns the number of copied
/// runs.
///
/// # Errors
/// See [`Sweep::merge`](super::Sweep::merge).
pub(super) fn copy_finished(index: &mut RunIndex, folders: &[PathBuf], out: &Path) -> Result<usize> {
    let setup = &index.setup.name;
    let mut copied = 0;
    for folder in folders {
        let runs = folder.join(setup).join("runs");
        if !runs.is_dir() {
            return Err(ExperimentError::NothingToMerge {
                folder: folder.clone(),
                setup: setup.clone(),
                runs,
            });
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
                    return Err(ExperimentError::MergeConflict {
                        top1: [ours.result.top1, theirs.result.top1],
                        dirs: [entry.dir.clone(), there],
                    });
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

/// Copies a run directory atomically. It replaces an unfinished run.
fn copy(from: &Path, to: &Path, out: &Path) -> Result<()> {
    let failed = |source| ExperimentError::Copy {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    };
    files::create_folder(to.parent().unwrap_or(out))?;
    let staging = tempfile::Builder::new()
        .prefix(".stompp-")
        .tempdir_in(out)
        .map_err(failed)?;
    let copy = staging.path().join("run");
    copy_tree(from, &copy).map_err(failed)?;
    if to.exists() {
        fs::rename(to, staging.path().join("unfinished")).map_err(failed)?;
    }
    fs::rename(&copy, to).map_err(failed)
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
