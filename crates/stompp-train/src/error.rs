//! The errors of this crate.
//!
//! Each message is complete: it ends with the message of the underlying error. The field of that error is spelled `r#source`, so that
//! `thiserror` does not also return it from `Error::source`; a report would then print it twice.

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
use stompp_parallel::CollectiveError;

/// An error of a run. Every variant names the field, file, directory or step at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration cannot be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file would be overwritten.
    #[error("{} already exists: choose another folder or remove it", path.display())]
    FileExists {
        /// The existing file.
        path: PathBuf,
    },
    /// The output directory already holds a run; nothing was changed.
    #[error("{} already holds a run (it has {file}): choose another directory or remove this one", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
        /// The file that was found there.
        file: &'static str,
    },
    /// A file or folder could not be read, created or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed: "read", "create", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        r#source: io::Error,
    },
    /// A file of a run directory is damaged or does not belong to the run.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A loss, gradient, parameter or running statistic is not finite; the run directory has no result.
    #[error(
        "the {what} became {value} at step {step}, first in {layer}: training has diverged (a lower learning rate may help){}",
        last_good.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display())).unwrap_or_default()
    )]
    NonFinite {
        /// The value that is not finite: "training loss", "test loss", "gradient", or "network" for a parameter or running statistic.
        what: &'static str,
        /// Optimizer steps done before.
        step: u64,
        /// The value of the loss; NaN for a gradient or the network.
        value: f64,
        /// The first layer with a value that is not finite.
        layer: String,
        /// The last checkpoint with finite values.
        last_good: Option<PathBuf>,
    },
    /// The run directory, or a checkpoint in it, has a configuration that gives another result; nothing was changed.
    #[error("{} belongs to another run: {difference}", path.display())]
    OtherRun {
        /// The file with the other configuration.
        path: PathBuf,
        /// The first field that differs.
        difference: Difference,
    },
    /// The run began with other images; nothing was changed.
    #[error("{}: the run was begun on other images than data.path has now: {details}", path.display())]
    OtherImages {
        /// The record of the run.
        path: PathBuf,
        /// The difference, such as "60 to train on and 15 to test on then, 59 and 15 now".
        details: String,
        /// Whether an epoch still has the same number of steps. Then [`Session::reindex`](crate::Session::reindex) can accept the images.
        same_length: bool,
    },
    /// The run has no result yet.
    #[error(
        "the run in {} is unfinished: {}",
        path.display(),
        if *step == 0 { "it has no checkpoint after its first step".to_owned() } else { format!("its last checkpoint is at step {step}") }
    )]
    Unfinished {
        /// The directory.
        path: PathBuf,
        /// Optimizer steps done at its newest checkpoint; 0 if there is none.
        step: u64,
    },
    /// The directory holds no run.
    #[error("{} is not the directory of a run: it has no config.toml", path.display())]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
    /// The run does not have the requested checkpoint.
    #[error("{} has no checkpoint {name}; there are: {there}", path.display())]
    NoCheckpoint {
        /// The directory.
        path: PathBuf,
        /// The requested checkpoint.
        name: String,
        /// The available checkpoints.
        there: String,
    },
    /// The initial weights cannot be loaded from a file or another run.
    #[error("{}: {source}", path.display())]
    Init {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        r#source: InitError,
    },
    /// Another process is using the run directory; nothing was changed.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The run stopped on request, after a complete step.
    #[error("stopped after step {step}; run the same command again to resume")]
    Stopped {
        /// Optimizer steps done.
        step: u64,
    },
    /// The run's network is not binary, so there is nothing to pack or export.
    #[error("{}: method float trains a network that is not binary; only binary networks can be packed or exported", path.display())]
    NotBinary {
        /// The directory.
        path: PathBuf,
    },
    /// The network cannot be packed.
    #[error("{}: {source}", path.display())]
    Pack {
        /// The directory of its run.
        path: PathBuf,
        /// The reason.
        r#source: Box<PackError>,
    },
    /// The network cannot be exported.
    #[error("{}: {source}", path.display())]
    Export {
        /// The directory of its run.
        path: PathBuf,
        /// The reason.
        r#source: ExportError,
    },
    /// A packed network cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        r#source: Box<OpenError>,
    },
    /// A packed network does not classify square RGB images, or its header does not say how images are prepared.
    #[error("{}: {problem}", path.display())]
    NotForImages {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A packed network cannot run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The processes that train together do not do the same.
    #[error("process {rank} differs from process 0: {problem}")]
    OtherProcess {
        /// The process.
        rank: usize,
        /// The first difference.
        problem: String,
    },
    /// The processes cannot work together, or one has ended.
    #[error(transparent)]
    Processes(#[from] CollectiveError),
    /// The device failed.
    #[error("device: {0}")]
    Device(String),
}

pub(crate) fn device_error(error: impl std::fmt::Display) -> TrainError {
    // dfdx cannot express every CUDA error; `stompp_nn` keeps the full message.
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
