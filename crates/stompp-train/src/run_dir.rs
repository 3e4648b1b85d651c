//! The directory that holds everything about a run.

use crate::{
    InitError, InitReport, ParentRun, RunConfig, RunResult, Start, TrainError, checkpoint,
    error::damaged,
    files,
    init::init_error,
    machine::{CodeVersion, MachineInfo},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use stompp_data::ChannelStatistics;

/// The record of a run, `run.json`: its code, machine and derived values. The configuration is in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Start of the training, in UTC (RFC 3339).
    pub started: String,
    /// The code.
    pub code: CodeVersion,
    /// The machine.
    pub machine: MachineInfo,
    /// Images in the training set.
    pub train_images: usize,
    /// Images in the test set.
    pub test_images: usize,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps of the training.
    pub steps: u64,
    /// Steps before the first window; absent for methods without windows.
    pub warm_up_steps: Option<u64>,
    /// Steps after the last window; absent for methods without windows.
    pub tail_steps: Option<u64>,
    /// Mean of each channel (red, green, blue, from 0 to 1) for normalization. For images in memory, the mean of the limited and
    /// shrunk training images before augmentation; for image files, that of ImageNet.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, from the same images as the mean.
    pub std: [f32; 3],
    /// The initial weights that were loaded from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitReport>,
    /// The run that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentRun>,
}

impl RunRecord {
    /// The statistics for normalization.
    pub fn statistics(&self) -> ChannelStatistics {
        ChannelStatistics {
            mean: self.mean,
            std: self.std,
        }
    }

    /// Checks that `now` has the same source of initial weights as this record.
    ///
    /// # Errors
    /// Returns [`TrainError::Init`] if the file of the initial weights, or the last checkpoint of the parent run, has changed.
    pub(crate) fn compare_origin(&self, now: &Self) -> Result<(), TrainError> {
        if let (Some(then), Some(now)) = (&self.init, &now.init)
            && then.checksum != now.checksum
        {
            return Err(init_error(&now.file, InitError::Changed));
        }
        if let (Some(then), Some(now)) = (&self.parent, &now.parent)
            && then.checksum != now.checksum
        {
            return Err(init_error(&now.path, InitError::Changed));
        }
        Ok(())
    }

    /// Describes how the images of `now` differ from the images of this record, and returns whether the number of steps is still the
    /// same. `None` if they do not differ.
    pub(crate) fn other_images(&self, now: &Self) -> Option<(String, bool)> {
        let number = |record: &Self| (record.train_images, record.test_images);
        let length = |record: &Self| (record.steps_per_epoch, record.steps);
        let ((train, test), (train_now, test_now)) = (number(self), number(now));
        let details = if number(self) != number(now) {
            format!("{train} to train on and {test} to test on then, {train_now} and {test_now} now")
        } else if (self.mean, self.std) != (now.mean, now.std) {
            "the same number of images, but other means or deviations".to_owned()
        } else {
            return None;
        };
        Some((details, length(self) == length(now)))
    }
}

/// The status of an unfinished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunStatus {
    /// Optimizer steps done at its newest checkpoint.
    pub step: u64,
    /// Whether a process is using it now.
    pub busy: bool,
}

impl RunStatus {
    /// Reads the status of the run in the directory `run`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the directory cannot be read or locked.
    pub fn read(run: &Path) -> Result<Self, TrainError> {
        let busy = match lock(run) {
            Ok(_released) => false,
            Err(TrainError::Busy { .. }) => true,
            Err(error) => return Err(error),
        };
        Ok(Self {
            step: checkpoint::newest_step(run)?,
            busy,
        })
    }
}

/// A run directory, locked by this process.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// The lock lasts as long as this file is open.
    _lock: Option<File>,
}

impl RunDir {
    /// Rejects a directory that holds a run, finished or not.
    pub(crate) fn check_free(path: &Path) -> Result<(), TrainError> {
        match files::ALL.into_iter().find(|file| path.join(file).exists()) {
            Some(file) => Err(TrainError::RunExists {
                path: path.to_owned(),
                file,
            }),
            None => Ok(()),
        }
    }

    /// Creates the directory with its parents, or opens the directory of a run to resume, and locks it. Writes the configuration of a
    /// new run, which is always its first file.
    ///
    /// # Errors
    /// Returns [`TrainError::RunExists`] if the directory holds a run that `start` does not allow, [`TrainError::OtherRun`] if its run
    /// has another configuration, [`TrainError::Busy`] if another process is using it, and [`TrainError::Io`] or [`TrainError::Config`]
    /// if the directory or a file cannot be created, read or written.
    pub(crate) fn open(path: &Path, start: Start, config: &RunConfig) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(|source| files::io_error("create", path, source))?;
        let dir = Self {
            path: path.to_owned(),
            _lock: lock(path)?,
        };
        match start {
            Start::New => Self::check_free(path)?,
            Start::Resume => {}
            Start::Overwrite => dir.clear()?,
        }
        for folder in [path, &path.join(checkpoint::FOLDER)] {
            stompp_files::remove_leftovers(folder).map_err(|source| files::io_error("clean", folder, source))?;
        }
        let file = path.join(files::CONFIG);
        if file.exists() {
            if let Some(difference) = RunConfig::load(&file)?.difference(config) {
                return Err(TrainError::OtherRun { path: file, difference });
            }
        } else {
            Self::check_free(path)?;
            files::write_new(&file, config.to_toml().as_bytes())?;
        }
        Ok(dir)
    }

    /// Removes every file of a run. The configuration is removed last, so that the directory still counts as a run if this is interrupted.
    fn clear(&self) -> Result<(), TrainError> {
        let removed = |path: &Path, outcome: io::Result<()>| match outcome {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files::io_error("remove", path, error)),
            _ => Ok(()),
        };
        let checkpoints = self.path.join(checkpoint::FOLDER);
        removed(&checkpoints, fs::remove_dir_all(&checkpoints))?;
        for file in files::ALL.into_iter().rev() {
            let path = self.path.join(file);
            removed(&path, fs::remove_file(&path))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&self, file: &str, bytes: &[u8]) -> Result<(), TrainError> {
        files::replace(&self.path.join(file), bytes)
    }

    /// Writes the record of a new run. A resumed run keeps its record if the images are the same; if the list of image files has
    /// changed and `reindex` is set, only the numbers of images are updated. Returns the valid record and the changes in it.
    ///
    /// # Errors
    /// Returns [`TrainError::OtherImages`] if the images differ and this is not allowed, [`TrainError::Init`] if the source of the
    /// initial weights has changed, and [`TrainError::Io`] or [`TrainError::Damaged`] if the record cannot be read or written.
    pub(crate) fn persist_record(
        &self,
        record: &RunRecord,
        reindex: bool,
    ) -> Result<(RunRecord, Vec<String>), TrainError> {
        let path = self.path.join(files::RUN);
        if !path.exists() {
            files::replace_json(&path, record)?;
            return Ok((record.clone(), Vec::new()));
        }
        let before: RunRecord = files::read_json(&path)?;
        before.compare_origin(record)?;
        let (details, same_length) = match before.other_images(record) {
            None => return Ok((before, Vec::new())),
            Some(other) => other,
        };
        let same_statistics = (before.mean, before.std) == (record.mean, record.std);
        if !(reindex && same_length && same_statistics) {
            return Err(TrainError::OtherImages {
                path,
                details,
                same_length,
            });
        }
        let now = RunRecord {
            train_images: record.train_images,
            test_images: record.test_images,
            ..before
        };
        files::replace_json(&path, &now)?;
        Ok((now, vec![format!("the list of images has changed: {details}")]))
    }

    /// Replaces the saved configuration by `config`, which must describe the same run, so that the file has, for example, the current
    /// path of the data. Returns the changes.
    pub(crate) fn persist_config(&self, config: &RunConfig) -> Result<Vec<String>, TrainError> {
        let file = self.path.join(files::CONFIG);
        let changes = RunConfig::load(&file)?.differences(config);
        if !changes.is_empty() {
            files::replace(&file, config.to_toml().as_bytes())?;
        }
        Ok(changes.iter().map(ToString::to_string).collect())
    }

    /// The result, if the run is finished.
    pub(crate) fn result(&self) -> Result<Option<RunResult>, TrainError> {
        RunResult::exists(&self.path)
            .then(|| RunResult::load(&self.path))
            .transpose()
    }

    /// Writes the names of the classes. A resumed run must have the same names.
    ///
    /// # Errors
    /// Returns [`TrainError::Damaged`] if the run has other names, and [`TrainError::Io`] if the file cannot be read or written.
    pub(crate) fn write_classes(&self, names: &[String]) -> Result<(), TrainError> {
        let path = self.path.join(files::CLASSES);
        if path.exists() && files::read_json::<Vec<String>>(&path)? != names {
            return Err(damaged(&path, "the run began with other classes".to_owned()));
        }
        files::replace_json(&path, &names)
    }

    /// Writes the result, which marks the run as finished.
    pub(crate) fn write_result(&self, result: &RunResult) -> Result<(), TrainError> {
        files::replace_json(&self.path.join(files::RESULT), result)
    }
}

/// Locks a directory on Unix; does nothing on other systems. The lock ends with the process, even if it is killed.
fn lock(path: &Path) -> Result<Option<File>, TrainError> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let dir = File::open(path).map_err(|source| files::io_error("open", path, source))?;
    match dir.try_lock() {
        Ok(()) => Ok(Some(dir)),
        Err(TryLockError::WouldBlock) => Err(TrainError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(files::io_error("lock", path, source)),
    }
}
