//! The state of a run directory.
//!
//! **A finished run is never repeated, changed or mistaken for another.** It counts only if its configuration is
//! the expected one.

use crate::error::{ExperimentError, Result, io_error};
use crate::parent;
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

/// The content of a run directory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunDirState {
    /// The directory does not exist.
    Absent,
    /// A run that did not end, after this many steps.
    Interrupted(u64),
    /// A run that another process is training. Its last checkpoint is of about this step.
    Running(u64),
    /// The finished run.
    Finished(Box<FinishedRun>),
}

/// Reads the state of the run with this configuration in `dir`.
///
/// # Errors
/// Returns [`ExperimentError::NotARunDirectory`] or [`ExperimentError::OtherRun`] if `dir` holds something else, and
/// [`ExperimentError::Train`] or [`ExperimentError::Io`] if a file cannot be read.
pub(crate) fn inspect(dir: &Path, config: &RunConfig) -> Result<RunDirState> {
    if !dir.try_exists().map_err(io_error("look at", dir))? {
        return Ok(RunDirState::Absent);
    }
    let file = dir.join("config.toml");
    // The trainer writes the configuration first, so a directory without it is no run directory. Another process may write it between
    // the two checks.
    if !file.is_file() && !is_empty_run_dir(dir)? && !file.is_file() {
        return Err(ExperimentError::NotARunDirectory { path: dir.to_owned() });
    }
    if !file.is_file() {
        return Ok(RunDirState::Interrupted(0));
    }
    if let Some(difference) = parent::difference(RunConfig::load(&file)?, config) {
        return Err(ExperimentError::OtherRun {
            path: dir.to_owned(),
            difference,
        });
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

/// Returns whether `dir` has only temporary files of the trainer, or none.
fn is_empty_run_dir(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).map_err(io_error("look at", dir))? {
        let entry = entry.map_err(io_error("look at", dir))?;
        if !entry.file_name().to_string_lossy().starts_with(".stompp-") {
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
