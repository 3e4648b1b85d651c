//! Checkpoints: one safetensors file with everything that a run needs to resume to the same bits.
//!
//! For the tensors see [`state`]. The rest is JSON in the metadata entry `stompp` of the file. The tensor `stompp.checksum` has the
//! checksum of the whole file ([`checksum`]).

mod checksum;
mod folder;
mod interval;
mod manager;
mod name;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use folder::NAME as FOLDER;
pub use interval::CheckpointInterval;
pub(crate) use manager::CheckpointManager;
pub use name::CheckpointName;
pub(crate) use name::find;

use crate::{
    CodeVersion, RunConfig, TrainError,
    config::Timeline,
    divergence,
    error::damaged,
    files,
    step::RunTrainer,
    tensors::{self, LoadedTensors, SavedTensor},
    train_state::TrainState,
};
use serde::{Deserialize, Serialize};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
};
use stompp_binarize::BinaryBackend;
use stompp_data::Position;
use stompp_nn::{Backend, VisitTensors};

/// When to write checkpoints, and which of them to keep. The checkpoint of the best evaluation is always kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpointing {
    /// Time between checkpoints.
    pub every: CheckpointInterval,
    /// Number of newest checkpoints to keep.
    pub keep_last: NonZeroUsize,
    /// Every `keep_every`-th scheduled checkpoint is never pruned.
    pub keep_every: Option<NonZeroU64>,
}

impl Default for Checkpointing {
    fn default() -> Self {
        Self {
            every: CheckpointInterval::default(),
            keep_last: NonZeroUsize::new(2).expect("2 is not 0"),
            keep_every: None,
        }
    }
}

/// The version of the file format.
const FORMAT: u32 = 1;

/// What is not finite if a checkpoint cannot be written.
pub(crate) const NETWORK: &str = "network";

/// The metadata key of the header.
const HEADER: &str = "stompp";

/// The header of a checkpoint: everything except its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// The code that wrote it.
    pub(crate) code: CodeVersion,
    /// The resolved configuration, in TOML.
    pub(crate) config: String,
    /// Epoch of the next batch.
    pub(crate) epoch: u64,
    /// Index of the next batch in its epoch.
    pub(crate) batch: usize,
    /// The learning rate that the schedule multiplies.
    pub(crate) learning_rate: f32,
    /// Whether it has been halved after a divergence.
    pub(crate) halved: bool,
    /// Length of the metrics file in bytes.
    pub(crate) metrics_len: u64,
    #[serde(rename = "course")]
    pub(crate) train_state: TrainState,
}

/// The part of a header that every version has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Header {
    /// The header of a run of `config` at `train_state`.
    pub(crate) fn new(config: &RunConfig, train_state: &TrainState, timeline: &Timeline) -> Self {
        let Position { epoch, batch } = timeline.position(train_state.step);
        Self {
            format: FORMAT,
            code: CodeVersion::current(),
            config: config.to_toml(),
            epoch,
            batch,
            learning_rate: 0.0,
            halved: false,
            metrics_len: 0,
            train_state: train_state.clone(),
        }
    }

    fn parse(file: &[u8]) -> Result<Self, String> {
        let (_, metadata) = safetensors::SafeTensors::read_metadata(file).map_err(|error| error.to_string())?;
        let metadata = metadata.metadata().as_ref();
        let text = metadata
            .and_then(|metadata| metadata.get(HEADER))
            .ok_or("has no header: not a checkpoint")?;
        let Version { format } = serde_json::from_str(text).map_err(|error| format!("header: {error}"))?;
        if format != FORMAT {
            return Err(format!(
                "has checkpoint format {format}; this program reads format {FORMAT}"
            ));
        }
        serde_json::from_str(text).map_err(|error| format!("header: {error}"))
    }
}

/// The state of a run, copied so that it can be written while the training goes on.
#[derive(Debug)]
pub(crate) struct Snapshot {
    tensors: Vec<SavedTensor>,
    header: String,
}

/// Copies the state of a run.
///
/// # Errors
/// Returns [`TrainError::NonFinite`] if the network has a value that is not finite, because a run could not resume from it. Returns
/// [`TrainError::Device`] if the state cannot be read from the device.
pub(crate) fn snapshot<D: BinaryBackend>(header: &Header, trainer: &mut RunTrainer<D>) -> Result<Snapshot, TrainError> {
    if let Some(layer) = divergence::first_non_finite_layer(&trainer.network) {
        return Err(TrainError::NonFinite {
            what: NETWORK,
            step: header.train_state.step,
            value: f64::NAN,
            layer,
            last_good: None,
        });
    }
    let mut tensors = state::save(trainer)?;
    tensors.push(checksum::placeholder());
    let header = serde_json::to_string(header).expect("headers have a JSON form");
    Ok(Snapshot { tensors, header })
}

impl Snapshot {
    /// The parts of the checkpoint's file, one after another.
    fn parts(mut self) -> Vec<Vec<u8>> {
        let beginning = tensors::to_parts(&mut self.tensors, (HEADER, self.header));
        checksum::fill(&beginning, &mut self.tensors);
        let tensors = self.tensors.into_iter().map(|tensor| tensor.bytes);
        std::iter::once(beginning).chain(tensors).collect()
    }
}

/// Reads the bytes of the checkpoint at `path` for the network of `trainer`.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file cannot be read or is too large for the network.
pub(crate) fn read<D: BinaryBackend>(path: &Path, trainer: &RunTrainer<D>) -> Result<Vec<u8>, TrainError> {
    let most = 4 * tensors::network_bytes(&trainer.network) + HEADER_AND_MASKS;
    files::read_at_most(path, most)
}

/// Loads the checkpoint with the bytes `file` into `trainer`, which must be a new trainer for `config`. `path` is used only in errors.
///
/// # Errors
/// Returns [`TrainError::Damaged`] if the file is cut, altered, of another format or of another network, and [`TrainError::OtherRun`] if
/// it has another configuration. The trainer may then be partly loaded.
pub(crate) fn load<D: BinaryBackend>(
    path: &Path,
    file: &[u8],
    config: &RunConfig,
    timeline: &Timeline,
    trainer: &mut RunTrainer<D>,
) -> Result<Header, TrainError> {
    let mut restore = || {
        let (header, mut loaded) = open(file)?;
        let written = RunConfig::from_toml(&header.config).map_err(|error| format!("configuration: {error}"))?;
        if let Some(difference) = written.difference(config) {
            return Ok(Err(difference));
        }
        let (step, steps) = (header.train_state.step, timeline.steps);
        let position = Position {
            epoch: header.epoch,
            batch: header.batch,
        };
        if step > steps || timeline.position(step) != position {
            return Err(format!(
                "is of step {step} (epoch {}, batch {}), which this run does not have",
                header.epoch, header.batch
            ));
        }
        trainer
            .set_freeze_states(step, steps)
            .map_err(|error| error.to_string())?;
        state::restore(trainer, &mut loaded)?;
        loaded.check_all_taken()?;
        Ok(Ok(header))
    };
    match restore().map_err(|problem| damaged(path, problem))? {
        Ok(header) => Ok(header),
        Err(difference) => Err(TrainError::OtherRun {
            path: path.to_owned(),
            difference,
        }),
    }
}

/// Loads weights, statistics and momentum of the checkpoint `file` into the new trainer `trainer`. The checkpoint may belong to any run
/// with the same network. Returns the position of the next batch in its data.
///
/// # Errors
/// Returns a message if the checkpoint is damaged or does not fit. The trainer may then be partly loaded.
pub(crate) fn restore_end<D: BinaryBackend>(file: &[u8], trainer: &mut RunTrainer<D>) -> Result<Position, String> {
    let (header, mut loaded) = open(file)?;
    loaded.restore(&mut trainer.network)?;
    state::restore_momentum(trainer, &mut loaded)?;
    Ok(Position {
        epoch: header.epoch,
        batch: header.batch,
    })
}

/// Loads weights and statistics of the checkpoint `file` into `network`, without its masks. Returns the configuration of the checkpoint's
/// run.
///
/// # Errors
/// Returns a message if the checkpoint is damaged or does not fit. The network may then be partly loaded.
pub(crate) fn restore_network<D: Backend>(
    file: &[u8],
    network: &mut impl VisitTensors<D>,
) -> Result<RunConfig, String> {
    let (header, mut loaded) = open(file)?;
    loaded.restore(network)?;
    RunConfig::from_toml(&header.config).map_err(|error| format!("configuration: {error}"))
}

/// The tensors of a checkpoint, whose checksum is verified, or of any other safetensors file.
///
/// # Errors
/// Returns a message if the file is not a safetensors file or is a damaged checkpoint.
pub(crate) fn tensors(file: &[u8]) -> Result<LoadedTensors<'_>, String> {
    let (_, metadata) =
        safetensors::SafeTensors::read_metadata(file).map_err(|error| format!("is not a safetensors file: {error}"))?;
    let ours = metadata
        .metadata()
        .as_ref()
        .is_some_and(|metadata| metadata.contains_key(HEADER));
    match ours {
        true => open(file).map(|(_, loaded)| loaded),
        false => LoadedTensors::parse(file),
    }
}

/// The newest checkpoint of the run in `run`, with its number of optimizer steps. Reads only file names.
pub(crate) fn newest(run: &Path) -> Result<Option<(u64, PathBuf)>, TrainError> {
    folder::CheckpointFolder::new(run).newest()
}

/// The number of optimizer steps at the newest checkpoint of the run in `run`; 0 if there is none. Reads only file names.
pub(crate) fn newest_step(run: &Path) -> Result<u64, TrainError> {
    Ok(newest(run)?.map_or(0, |(step, _)| step))
}

/// Verifies the checkpoint with the bytes `file`, and returns its number of optimizer steps. `path` is used only in errors.
///
/// # Errors
/// Returns [`TrainError::Damaged`] if the bytes are cut, altered or of another format.
pub fn checkpoint_step(path: &Path, file: &[u8]) -> Result<u64, TrainError> {
    let header = open(file).map(|(header, _)| header.train_state.step);
    header.map_err(|problem| damaged(path, problem))
}

/// Reads the header and the tensors of a file. The header is checked first, because it has the format version.
fn open(file: &[u8]) -> Result<(Header, LoadedTensors<'_>), String> {
    let header = Header::parse(file)?;
    Ok((header, checksum::verify(file)?))
}

/// Limit in bytes for the evaluations and the activation masks (one bit per entry) of a checkpoint. Network, optimizer state and signs
/// are together smaller than four times the network. A file above the sum of both limits is rejected without reading it.
const HEADER_AND_MASKS: u64 = 64 << 20;
