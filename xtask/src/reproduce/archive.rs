//! `archive`: adds the finished runs of sweeps to the archive.

use crate::usage::UsageError;
use crate::workspace;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use stompp_experiments::{AddedRuns, Archive};

/// Options of `archive`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Output folders of sweeps, as given to `reproduce --out`
    #[arg(required = true, value_name = "FOLDER")]
    from: Vec<PathBuf>,
    /// The archive [default: docs/runs in the workspace]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// The archive of the workspace.
pub(super) fn default_folder() -> PathBuf {
    workspace::root().join("docs/runs")
}

/// Adds every finished run and prints the number.
pub(crate) fn run(options: &Options) -> Result<()> {
    let archive = Archive::new(options.into.clone().unwrap_or_else(default_folder));
    let mut all = AddedRuns::default();
    for from in &options.from {
        let AddedRuns {
            added,
            known,
            unfinished,
        } = archive.add_sweep(from)?;
        if added + known + unfinished.len() == 0 {
            return Err(UsageError::new(format!(
                "{} has no runs: pass the folder that was given to `reproduce --out`",
                from.display()
            ))
            .into());
        }
        all.added += added;
        all.known += known;
        all.unfinished.extend(unfinished);
    }
    stompp_console::outln!(
        "{} runs added to {}, {} were there already",
        all.added,
        archive.folder().display(),
        all.known
    );
    if !all.unfinished.is_empty() {
        stompp_console::outln!("not finished, not added: {}", all.unfinished.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_runs_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            from: vec![folder.path().join("out")],
            into: Some(folder.path().join("runs")),
        };
        assert!(run(&options).unwrap_err().is::<UsageError>());
        assert!(!folder.path().join("runs").exists());
    }
}
