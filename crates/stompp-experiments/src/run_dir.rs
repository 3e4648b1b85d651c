//! What the directory of a run holds, and what that means for the run.
//!
//! **A finished run is never repeated, changed or mistaken for another.** It counts only if its configuration is the expected one.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use stompp_train::{RunConfig, RunRecord, RunResult, RunStatus, SavedRun};

/// A finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRun {
    /// Accuracies, losses, times.
    pub result: RunResult,
    /// Machine, code and sizes.
    pub run: RunRecord,
}

/// What a run directory holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunDirState {
    /// Nothing: there is no such directory.
    Absent,
    /// A run that did not end, after this many steps.
    Interrupted(u64),
    /// A run that another process trains now; its last checkpoint is of about this step.
    Running(u64),
    /// The finished run.
    Finished(Box<FinishedRun>),
}

/// What `dir` holds of the run with this configuration.
///
/// # Errors
/// If it holds something else, naming the directory and what is there, or if a file cannot be read.
pub(crate) fn inspect(dir: &Path, config: &RunConfig) -> Result<RunDirState> {
    if !dir
        .try_exists()
        .with_context(|| format!("cannot look at {}", dir.display()))?
    {
        return Ok(RunDirState::Absent);
    }
    let file = dir.join("config.toml");
    // The trainer writes the configuration first, so a directory without one is not a run's. Another process may write it meanwhile.
    if !file.is_file() && !is_empty_run_dir(dir)? && !file.is_file() {
        bail!(
            "{} is not a run directory: choose another output folder, or remove it",
            dir.display()
        );
    }
    if !file.is_file() {
        return Ok(RunDirState::Interrupted(0));
    }
    if let Some(difference) = RunConfig::load(&file)?.difference(config) {
        bail!(
            "{} holds a run with another configuration ({difference}): choose another output folder, or remove it",
            dir.display(),
        );
    }
    if !RunResult::exists(dir) {
        let RunStatus { step, busy } = RunStatus::read(dir)?;
        return Ok(if busy {
            RunDirState::Running(step)
        } else {
            RunDirState::Interrupted(step)
        });
    }
    Ok(RunDirState::Finished(Box::new(FinishedRun {
        result: RunResult::load(dir)?,
        run: SavedRun::open(dir)?.record,
    })))
}

/// Whether `dir` has no files but temporary ones of the trainer.
fn is_empty_run_dir(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot look at {}", dir.display()))? {
        if !entry?.file_name().to_string_lossy().starts_with(".stompp-") {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn error(dir: &Path, config: &RunConfig) -> String {
        inspect(dir, config).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_is_absent_then_interrupted_then_finished() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, config) = (folder.path().join("run"), RunConfig::default());
        assert_eq!(inspect(&dir, &config).unwrap(), RunDirState::Absent);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(".stompp-abc"), "half").unwrap();
        assert_eq!(inspect(&dir, &config).unwrap(), RunDirState::Interrupted(0));
        fs::write(dir.join("config.toml"), config.to_toml()).unwrap();
        assert_eq!(inspect(&dir, &config).unwrap(), RunDirState::Interrupted(0));
        testing::finish(&dir, &config, 12.5);
        let RunDirState::Finished(finished) = inspect(&dir, &config).unwrap() else {
            panic!("the run has a result");
        };
        assert_eq!(finished.result.top1, 12.5);
    }

    #[test]
    fn another_configuration_is_named_by_its_field_and_the_place_of_the_data_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = RunConfig::default();
        testing::finish(folder.path(), &config, 12.5);
        config.data.path = Some("on/another/machine".into());
        assert!(matches!(
            inspect(folder.path(), &config).unwrap(),
            RunDirState::Finished(_)
        ));
        config.training.momentum = 0.5;
        let message = error(folder.path(), &config);
        assert!(
            message.contains("training.momentum was 0.9, now it is 0.5"),
            "{message}"
        );
        assert!(message.contains(&folder.path().display().to_string()), "{message}");
    }

    #[test]
    fn what_is_no_run_directory_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        assert!(error(folder.path(), &RunConfig::default()).contains("is not a run directory"));
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = RunConfig::default();
        for file in ["config.toml", "result.json", "run.json"] {
            testing::finish(folder.path(), &config, 12.5);
            fs::write(folder.path().join(file), "}{").unwrap();
            let message = format!("{:#}", inspect(folder.path(), &config).unwrap_err());
            assert!(message.contains(file), "{message}");
        }
    }
}
