//! The run directory of a cell: what it holds already, and what that means for the cell.
//!
//! **A finished run is never repeated, touched or mistaken for another**: it counts only if its configuration is the
//! cell's, and where it is not, nothing is run.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use stompp_train::{RunConfig, RunRecord, RunResult, SavedRun};

/// What a finished run left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) result: RunResult,
    pub(crate) run: RunRecord,
}

/// What a run directory holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunState {
    /// Nothing: there is no such directory.
    Absent,
    /// A run of the cell that did not end.
    Interrupted,
    /// The cell's finished run.
    Finished(Box<Record>),
}

/// What `dir` holds for a cell with this configuration.
///
/// # Errors
/// If it holds something else, the error names the directory and what is there; also if a file cannot be read.
pub(crate) fn inspect(dir: &Path, config: &RunConfig) -> Result<RunState> {
    if !dir
        .try_exists()
        .with_context(|| format!("cannot look at {}", dir.display()))?
    {
        return Ok(RunState::Absent);
    }
    let file = dir.join("config.toml");
    if !file.is_file() {
        // The trainer writes the configuration first, so that a run which was stopped earlier left nothing of worth.
        if holds_nothing(dir)? {
            return Ok(RunState::Interrupted);
        }
        bail!(
            "{} is not a run directory: pass another --out, or remove it",
            dir.display()
        );
    }
    let differences = differences(&RunConfig::load(&file)?, config)?;
    if !differences.is_empty() {
        bail!(
            "{} holds a run with another configuration ({}): pass another --out, or remove it",
            dir.display(),
            differences.join("; ")
        );
    }
    if !RunResult::exists(dir) {
        return Ok(RunState::Interrupted);
    }
    Ok(RunState::Finished(Box::new(Record {
        result: RunResult::load(dir)?,
        run: SavedRun::load(dir)?.record,
    })))
}

/// Whether there is nothing in `dir` but temporary files of the trainer.
fn holds_nothing(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot look at {}", dir.display()))? {
        if !entry?.file_name().to_string_lossy().starts_with(".stompp-") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The fields in which two configurations differ: `training.momentum: 0.9 there, 0.8 now`.
fn differences(there: &RunConfig, now: &RunConfig) -> Result<Vec<String>> {
    let (there, now) = (toml::Table::try_from(there)?, toml::Table::try_from(now)?);
    let mut found = Vec::new();
    compare("", &there, &now, &mut found);
    Ok(found)
}

fn compare(prefix: &str, there: &toml::Table, now: &toml::Table, found: &mut Vec<String>) {
    let mut keys: Vec<_> = there.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    let shown = |value: Option<&toml::Value>| value.map_or("absent".to_owned(), toml::Value::to_string);
    for key in keys {
        match (there.get(key), now.get(key)) {
            (Some(toml::Value::Table(there)), Some(toml::Value::Table(now))) => {
                compare(&format!("{prefix}{key}."), there, now, found);
            }
            (there, now) if there != now => {
                found.push(format!("{prefix}{key}: {} there, {} now", shown(there), shown(now)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::testing;

    fn error(dir: &Path, config: &RunConfig) -> String {
        inspect(dir, config).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_is_absent_then_interrupted_then_finished() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, config) = (folder.path().join("run"), RunConfig::default());
        assert_eq!(inspect(&dir, &config).unwrap(), RunState::Absent);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(".stompp-abc"), "half").unwrap();
        assert_eq!(inspect(&dir, &config).unwrap(), RunState::Interrupted);
        fs::write(dir.join("config.toml"), config.to_toml()).unwrap();
        assert_eq!(inspect(&dir, &config).unwrap(), RunState::Interrupted);
        testing::finish(&dir, &config, 12.5);
        let RunState::Finished(record) = inspect(&dir, &config).unwrap() else {
            panic!("the run has a result");
        };
        assert_eq!(record.result.top1, 12.5);
    }

    #[test]
    fn another_configuration_is_named_field_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let mut there = RunConfig::default();
        testing::finish(folder.path(), &there, 12.5);
        there.training.momentum = 0.5;
        there.data.train_limit = Some(7);
        let message = error(folder.path(), &there);
        for part in [
            "data.train_limit: absent there, 7 now",
            "training.momentum: 0.9 there, 0.5 now",
        ] {
            assert!(message.contains(part), "{message}");
        }
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
