//! Initial weights of a network from a file of tensors, or from the end of another run.

use crate::{
    RunRecord, RunResult, TrainError, checkpoint, files,
    step::RunTrainer,
    tensors::{LoadedTensors, shape_of},
};
use dfdx::shapes::Shape;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use stompp_binarize::BinaryBackend;
use stompp_nn::{Backend, TensorKind, TensorMut, VisitTensors, VisitorMut};
use xxhash_rust::xxh3::xxh3_128;

/// Limit on the size of a file of weights, in bytes; a larger file is not read.
const MOST_BYTES: u64 = 4 << 30;

/// Prefix of the tensors in a checkpoint that are not part of the network.
const STATE: &str = "stompp.";

/// The reason why initial weights cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The file or directory cannot be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The path is neither a safetensors file nor the directory of a run.
    #[error("{0}")]
    NoWeights(String),
    /// The run is unfinished.
    #[error("the run is unfinished: it has no final weights yet")]
    Unfinished,
    /// The run is finished but has no checkpoint of its last step.
    #[error("the run has no checkpoint of its last step, {step}, which would have the momentum")]
    NoCheckpoint {
        /// The last step.
        step: u64,
    },
    /// No weight of the file (a tensor with two or more dimensions) fits the network.
    #[error("no weight among its {found} tensors fits the network; the first tensor of the network is {example}")]
    NothingFits {
        /// Number of tensors in the file.
        found: usize,
        /// The network's first tensor that did not fit: its shape, and the tensor with its name in the file.
        example: String,
    },
    /// A tensor has a value that cannot be trained on.
    #[error("tensor {tensor} has {problem}")]
    Value {
        /// The tensor.
        tensor: String,
        /// The problem.
        problem: &'static str,
    },
    /// The checkpoint of the run to continue is damaged or has another network.
    #[error("{0}")]
    Mismatch(String),
    /// The file has changed since the run began.
    #[error("has changed since the run began")]
    Changed,
}

/// The name and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedShape {
    /// Its name, as in torchvision.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl fmt::Display for NamedShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.shape)
    }
}

/// A tensor of the network that was not loaded from a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedTensor {
    /// The network's tensor.
    #[serde(flatten)]
    pub tensor: NamedShape,
    /// Type and shape of the tensor with this name in the file, such as `F32 [1000, 512]`; absent if the file has none.
    pub found: Option<String>,
}

impl fmt::Display for SkippedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: the file has {found}", self.tensor),
            None => write!(f, "{}: not in the file", self.tensor),
        }
    }
}

/// Which initial weights of a network were loaded from a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitReport {
    /// The file that was read.
    pub file: PathBuf,
    /// XXH3-128 of its bytes, in hexadecimal.
    pub checksum: String,
    /// The network's tensors that were loaded from it.
    pub taken: Vec<NamedShape>,
    /// The network's tensors that were not loaded. They have their random values from the seed.
    pub not_taken: Vec<SkippedTensor>,
    /// Tensors of the file that the network does not have, without the training state of a checkpoint.
    pub unused: Vec<NamedShape>,
    /// Number of latent weights outside of [-1, 1], which were clamped.
    pub clamped: u64,
}

/// The finished run that another run continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRun {
    /// Its directory.
    pub path: PathBuf,
    /// The commit of the code that trained it.
    pub revision: String,
    /// Its optimizer steps.
    pub steps: u64,
    /// XXH3-128 of the checkpoint of its last step, in hexadecimal.
    pub checksum: String,
    /// Position of the continuing run's first step in the data order, in batches of the continuing run.
    pub first_batch: u64,
}

/// Loads all tensors that fit from the file or run at `path` into `network`.
///
/// # Errors
/// Returns [`TrainError::Init`] if the weights cannot be read or none fits. The network may then be partly loaded.
pub(crate) fn load_weights<D: Backend>(
    network: &mut impl VisitTensors<D>,
    path: &Path,
) -> Result<InitReport, TrainError> {
    let failed = |error| init_error(path, error);
    let file = weights_of(path).map_err(failed)?;
    let bytes = read(&file).map_err(failed)?;
    let loaded = parse(&bytes).map_err(failed)?;
    let mut visitor = LoadWeights {
        loaded: &loaded,
        report: InitReport {
            checksum: checksum(&bytes),
            file,
            taken: Vec::new(),
            not_taken: Vec::new(),
            unused: Vec::new(),
            clamped: 0,
        },
    };
    network.visit_mut("", &mut visitor).map_err(failed)?;
    let mut report = visitor.report;
    // A bias or a statistic can have the same length by coincidence, so at least one weight has to fit.
    if report.taken.iter().all(|tensor| tensor.shape.len() < 2) {
        let first = report.not_taken.first();
        return Err(failed(InitError::NothingFits {
            found: loaded.shapes().count(),
            example: first.map_or_else(String::new, SkippedTensor::to_string),
        }));
    }
    let known = |name: &str| {
        let mut ours = report
            .taken
            .iter()
            .chain(report.not_taken.iter().map(|not| &not.tensor));
        ours.any(|tensor| tensor.name == name)
    };
    let unused = loaded
        .shapes()
        .filter(|(name, _)| !name.starts_with(STATE) && !known(name));
    let mut unused: Vec<_> = unused
        .map(|(name, shape)| NamedShape {
            name: name.to_owned(),
            shape,
        })
        .collect();
    unused.sort_by(|a, b| a.name.cmp(&b.name));
    report.unused = unused;
    Ok(report)
}

/// The file with the weights at `path`: `path` itself, or the network of the finished run in that directory.
fn weights_of(path: &Path) -> Result<PathBuf, InitError> {
    if !std::fs::metadata(path).map_err(InitError::Read)?.is_dir() {
        return Ok(path.to_owned());
    }
    if !path.join(files::CONFIG).is_file() {
        let problem = "is a folder, but not the directory of a run".to_owned();
        return Err(InitError::NoWeights(problem));
    }
    match RunResult::exists(path) {
        true => Ok(path.join(files::NETWORK)),
        false => Err(InitError::Unfinished),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, InitError> {
    let size = std::fs::metadata(file).map_err(InitError::Read)?.len();
    if size > MOST_BYTES {
        let problem = format!("has {size} bytes, expected at most {MOST_BYTES}");
        return Err(InitError::NoWeights(problem));
    }
    std::fs::read(file).map_err(InitError::Read)
}

/// The tensors of a checkpoint, whose checksum is verified, or of any other safetensors file.
fn parse(bytes: &[u8]) -> Result<LoadedTensors<'_>, InitError> {
    // `torch.save` writes a zip archive; its old versions write a pickle.
    if bytes.starts_with(b"PK") || bytes.starts_with(&[0x80, 0x02]) {
        let problem = "is a PyTorch file (.pth): write a safetensors file with Python, \
                       `safetensors.torch.save_file(model.state_dict(), \"weights.safetensors\")`";
        return Err(InitError::NoWeights(problem.to_owned()));
    }
    checkpoint::tensors(bytes).map_err(InitError::NoWeights)
}

/// Loads weights, statistics and momentum from the end of the run in the directory `path` into the new trainer `trainer`. The new run has
/// `steps_per_epoch` steps in an epoch.
///
/// # Errors
/// Returns [`TrainError::Init`] if the run is unfinished or its last checkpoint is missing, damaged or of another network, and
/// [`TrainError::Io`] or [`TrainError::Damaged`] if its result or record cannot be read. The trainer may then be partly loaded.
pub(crate) fn continue_from<D: BinaryBackend>(
    trainer: &mut RunTrainer<D>,
    path: &Path,
    steps_per_epoch: u64,
) -> Result<ParentRun, TrainError> {
    let failed = |error| init_error(path, error);
    if !path.join(files::CONFIG).is_file() {
        return Err(failed(InitError::NoWeights("is not the directory of a run".to_owned())));
    }
    if !RunResult::exists(path) {
        return Err(failed(InitError::Unfinished));
    }
    let steps = RunResult::load(path)?.steps;
    let record: RunRecord = files::read_json(&path.join(files::RUN))?;
    let last = checkpoint::newest(path)?.filter(|(step, _)| *step == steps);
    let (_, file) = last.ok_or_else(|| failed(InitError::NoCheckpoint { step: steps }))?;
    let failed = |error| init_error(&file, error);
    let bytes = read(&file).map_err(failed)?;
    let end = checkpoint::restore_end(&bytes, trainer).map_err(|problem| failed(InitError::Mismatch(problem)))?;
    let whole_epochs = end.epoch + u64::from(end.batch > 0);
    Ok(ParentRun {
        path: path.to_owned(),
        revision: record.code.revision,
        steps,
        checksum: checksum(&bytes),
        first_batch: match record.steps_per_epoch == steps_per_epoch {
            true => end.epoch * steps_per_epoch + end.batch as u64,
            false => whole_epochs * steps_per_epoch,
        },
    })
}

struct LoadWeights<'a, 'b> {
    loaded: &'a LoadedTensors<'b>,
    report: InitReport,
}

impl<D: Backend> VisitorMut<D> for LoadWeights<'_, '_> {
    type Error = InitError;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        mut tensor: TensorMut<'_, S, D>,
    ) -> Result<(), InitError> {
        let ours = NamedShape {
            name: name.to_owned(),
            shape: shape_of(&tensor),
        };
        let found = self.loaded.tensor(name);
        let Some(values) = found
            .as_ref()
            .filter(|view| view.dtype() == Dtype::F32 && view.shape() == ours.shape)
        else {
            self.report.not_taken.push(SkippedTensor {
                tensor: ours,
                found: found.map(|view| format!("{:?} {:?}", view.dtype(), view.shape())),
            });
            return Ok(());
        };
        let (values, _) = values.data().as_chunks();
        let mut values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let wrong = |problem| InitError::Value {
            tensor: name.to_owned(),
            problem,
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Err(wrong("values that are not finite"));
        }
        if name.ends_with("running_var") && values.iter().any(|value| *value < 0.0) {
            return Err(wrong("a negative variance"));
        }
        if let TensorKind::Parameter { bound: Some(bound), .. } = kind {
            for value in &mut values {
                self.report.clamped += u64::from(value.abs() > bound);
                *value = value.clamp(-bound, bound);
            }
        }
        tensor.copy_from(&values);
        self.report.taken.push(ours);
        Ok(())
    }
}

/// XXH3-128 in hexadecimal.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

pub(crate) fn init_error(path: &Path, source: InitError) -> TrainError {
    TrainError::Init {
        path: path.to_owned(),
        source,
    }
}
