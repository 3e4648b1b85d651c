//! Names for the checkpoints of a run.

use super::folder::CheckpointFolder;
use crate::TrainError;
use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A checkpoint of a run: `best`, `last`, the number of a step, or a file.
///
/// ```
/// use stompp_train::CheckpointName;
///
/// assert_eq!("best".parse(), Ok(CheckpointName::Best));
/// assert_eq!("300".parse(), Ok(CheckpointName::Step(300)));
/// assert_eq!("a/step-1.safetensors".parse(), Ok(CheckpointName::File("a/step-1.safetensors".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointName {
    /// The checkpoint of the best evaluation.
    Best,
    /// The newest checkpoint.
    Last,
    /// The checkpoint after this number of steps.
    Step(u64),
    /// The checkpoint in this file.
    File(PathBuf),
}

impl FromStr for CheckpointName {
    type Err = Infallible;

    fn from_str(given: &str) -> Result<Self, Infallible> {
        Ok(match given {
            "best" => Self::Best,
            "last" => Self::Last,
            _ => given
                .parse()
                .map_or_else(|_| Self::File(PathBuf::from(given)), Self::Step),
        })
    }
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Last => f.write_str("last"),
            Self::Step(step) => step.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The file of the checkpoint `name` of the run in `run`.
///
/// # Errors
/// Returns [`TrainError::NoCheckpoint`], with the available checkpoints, if there is no such checkpoint, and [`TrainError::Io`] if the
/// folder cannot be read.
pub(crate) fn find(run: &Path, name: &CheckpointName) -> Result<PathBuf, TrainError> {
    let folder = CheckpointFolder::new(run);
    let found = match name {
        CheckpointName::File(path) => return Ok(path.clone()),
        CheckpointName::Best => folder.best(),
        CheckpointName::Last => folder.newest()?.map(|(_, path)| path),
        CheckpointName::Step(step) => folder.at_step(*step)?,
    };
    found.ok_or_else(|| {
        let mut there: Vec<String> = folder.steps().unwrap_or_default().iter().map(u64::to_string).collect();
        there.extend(folder.best().map(|_| "best".to_owned()));
        TrainError::NoCheckpoint {
            path: run.to_owned(),
            name: name.to_string(),
            there: if there.is_empty() {
                "none".to_owned()
            } else {
                there.join(", ")
            },
        }
    })
}
