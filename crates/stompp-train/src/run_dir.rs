//! The directory that holds everything about a run.

use crate::{
    RunConfig, RunResult, TrainError, files,
    machine::{Code, Machine},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use stompp_data::ChannelStatistics;

/// `run.json`: how a result came about, beside the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// When training began, UTC, RFC 3339.
    pub started: String,
    /// The code.
    pub code: Code,
    /// The machine.
    pub machine: Machine,
    /// Images in the training set.
    pub train_images: usize,
    /// Images in the test set.
    pub test_images: usize,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps of the training.
    pub steps: u64,
    /// Steps before the first window; absent for methods that have none.
    pub warm_up_steps: Option<u64>,
    /// Steps after the last window; absent for methods that have none.
    pub tail_steps: Option<u64>,
    /// Mean of each channel (red, green, blue, from 0 to 1) of the training images as trained on: limited and shrunk, before
    /// augmentation; for image files ImageNet's usual one. Every image is normalized by it.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, likewise.
    pub std: [f32; 3],
}

impl RunRecord {
    /// What images are normalized by.
    pub fn statistics(&self) -> ChannelStatistics {
        ChannelStatistics {
            mean: self.mean,
            std: self.std,
        }
    }
}

/// A run directory that this process made.
#[derive(Debug)]
pub(crate) struct RunDir(PathBuf);

impl RunDir {
    /// Refuses a directory that holds a run, finished or not.
    pub(crate) fn check_free(path: &Path) -> Result<(), TrainError> {
        match files::ALL.into_iter().find(|file| path.join(file).exists()) {
            Some(file) => Err(TrainError::RunExists {
                path: path.to_owned(),
                file,
            }),
            None => Ok(()),
        }
    }

    /// Makes the directory, with its parents, and claims it by writing the configuration.
    ///
    /// # Errors
    /// If it holds a run, or cannot be made or written.
    pub(crate) fn create(path: &Path, config: &RunConfig) -> Result<Self, TrainError> {
        std::fs::create_dir_all(path).map_err(|source| files::io_error("create", path, source))?;
        Self::check_free(path)?;
        files::write_new(&path.join(files::CONFIG), config.to_toml().as_bytes())?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, file: &str, bytes: &[u8]) -> Result<(), TrainError> {
        files::write_new(&self.0.join(file), bytes)
    }

    pub(crate) fn write_record(&self, record: &RunRecord) -> Result<(), TrainError> {
        files::write_new_json(&self.0.join(files::RUN), record)
    }

    pub(crate) fn write_classes(&self, names: &[String]) -> Result<(), TrainError> {
        files::write_new_json(&self.0.join(files::CLASSES), &names)
    }

    /// Declares the run finished.
    pub(crate) fn write_result(&self, result: &RunResult) -> Result<(), TrainError> {
        files::write_new_json(&self.0.join(files::RESULT), result)
    }
}
