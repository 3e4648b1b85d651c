//! Why a run could not start or go on.
//!
//! Messages are whole: they end with what the system or a library said. That part is a field spelled `r#source`, which keeps
//! `thiserror` from offering it a second time as the error's source.

use crate::{
    InitError,
    config::{ConfigError, Difference},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use stompp_data::DataError;
use stompp_infer::{OpenError, PackError, RunError};
use stompp_onnx::ExportError;

/// Why a run could not start or go on; every variant names what is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration cannot be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Files would be written over.
    #[error("{} already exists: choose another folder or remove it", path.display())]
    FileExists {
        /// The file that is there.
        path: PathBuf,
    },
    /// The output directory has a run in it already; nothing was touched.
    #[error("{} already holds a run (it has {file}): choose another directory or remove this one", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
        /// The file that was found there.
        file: &'static str,
    },
    /// A file or folder could not be read, made or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "create", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        r#source: io::Error,
    },
    /// A file of a run directory is not what it should be.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A loss, gradient or parameter is no finite number any more; the run directory has no result.
    #[error(
        "the {what} became {value} at step {step}, first in {layer}: training has diverged (a lower learning rate may help){}",
        last_good.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display())).unwrap_or_default()
    )]
    NonFinite {
        /// What: "training loss", "test loss", "gradient", or "network" for a parameter or running statistic.
        what: &'static str,
        /// Optimizer steps done before.
        step: u64,
        /// The loss; NaN for the others.
        value: f64,
        /// The layer where it first appears.
        layer: String,
        /// The last checkpoint before.
        last_good: Option<PathBuf>,
    },
    /// The run directory, or a checkpoint of it, has a configuration with another result; nothing was touched.
    #[error("{} is of another run: {difference}", path.display())]
    OtherRun {
        /// The file with the other configuration.
        path: PathBuf,
        /// The first field that differs.
        difference: Difference,
    },
    /// The run directory was begun on another list of image files; nothing was touched.
    #[error("{}: the run was begun on other images than data.path has now: {details}", path.display())]
    OtherImages {
        /// The record of the run.
        path: PathBuf,
        /// How they differ, such as "60 to train on and 15 to test on then, 59 and 15 now".
        details: String,
        /// Whether an epoch has as many steps nevertheless, so that [`Session::reindex`](crate::Session::reindex) can accept it.
        same_length: bool,
    },
    /// The run has no result yet.
    #[error(
        "the run in {} is unfinished: {}",
        path.display(),
        if *step == 0 { "it has taken no step since a checkpoint".to_owned() } else { format!("its last checkpoint is of step {step}") }
    )]
    Unfinished {
        /// The directory.
        path: PathBuf,
        /// Optimizer steps done at its newest checkpoint.
        step: u64,
    },
    /// There is no run in the directory.
    #[error("{} is not the directory of a run: it has no config.toml", path.display())]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
    /// The run does not have the checkpoint that was asked for.
    #[error("{} has no checkpoint {name}; there are: {there}", path.display())]
    NoCheckpoint {
        /// The directory.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// The checkpoints that the run has.
        there: String,
    },
    /// The network's first weights cannot be had from a file or another run.
    #[error("{}: {source}", path.display())]
    Init {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        r#source: InitError,
    },
    /// Another process works on the run directory; nothing was touched.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The run was told to stop and did, after a whole step.
    #[error("stopped after step {step}; the same command goes on from there")]
    Stopped {
        /// Optimizer steps done.
        step: u64,
    },
    /// The run's network is not binary, so there is nothing to pack or export.
    #[error("{}: method float trains a network that is not binary; only binary ones can be packed or exported", path.display())]
    NotBinary {
        /// The directory.
        path: PathBuf,
    },
    /// The network cannot be packed.
    #[error("{}: {source}", path.display())]
    Pack {
        /// The directory of its run.
        path: PathBuf,
        /// Why.
        r#source: Box<PackError>,
    },
    /// The network cannot be exported.
    #[error("{}: {source}", path.display())]
    Export {
        /// The directory of its run.
        path: PathBuf,
        /// Why.
        r#source: ExportError,
    },
    /// A packed network cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        r#source: Box<OpenError>,
    },
    /// A packed network is not one that classifies RGB images, or does not say how images are prepared.
    #[error("{}: {problem}", path.display())]
    NotForImages {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A packed network cannot run: there is not enough memory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The device failed.
    #[error("device: {0}")]
    Device(String),
}

pub(crate) fn device_error(error: impl std::fmt::Display) -> TrainError {
    // What dfdx has no error for is told in full beside it.
    #[cfg(feature = "cuda")]
    if let Some(words) = stompp_nn::cuda::take_last_error() {
        return TrainError::Device(words);
    }
    TrainError::Device(error.to_string())
}

pub(crate) fn damaged(path: &Path, problem: String) -> TrainError {
    TrainError::Damaged {
        path: path.to_owned(),
        problem,
    }
}
