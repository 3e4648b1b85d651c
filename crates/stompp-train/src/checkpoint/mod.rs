//! Checkpoints: everything that a run needs to go on to the same bits, in one safetensors file.
//!
//! Tensors are described in [`state`]. The rest is JSON under the name `stompp` of the file's metadata, and the tensor
//! `stompp.checksum` guards the whole ([`checksum`]).

mod checksum;
mod folder;
mod interval;
mod manager;
mod name;
mod state;
#[cfg(test)]
mod tests;

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
    tensors::{self, LoadedTensors},
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

/// When checkpoints are written and which of them are kept. The one with the best evaluation is kept beside these.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpointing {
    /// Time between them.
    pub every: CheckpointInterval,
    /// How many of the newest are kept.
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

/// The version of the format that is written and read.
const FORMAT: u32 = 1;

/// The name of the header in the file's metadata.
const HEADER: &str = "stompp";

/// A checkpoint without its tensors.
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
    /// The next batch in its epoch.
    pub(crate) batch: usize,
    /// The learning rate in use, which the schedule multiplies.
    pub(crate) learning_rate: f32,
    /// Whether it has been halved after a divergence.
    pub(crate) halved: bool,
    /// How long the metrics were, in bytes.
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

/// The bytes of a checkpoint.
///
/// # Errors
/// [`TrainError::NonFinite`] if there is something in the network that is no finite number: it could not go on from there.
pub(crate) fn encode<D: BinaryBackend>(header: &Header, trainer: &mut RunTrainer<D>) -> Result<Vec<u8>, TrainError> {
    if let Some(layer) = divergence::first_non_finite_layer(&trainer.network) {
        return Err(TrainError::NonFinite {
            what: "network",
            step: header.train_state.step,
            value: f64::NAN,
            layer,
            last_good: None,
        });
    }
    let mut saved = state::save(trainer)?;
    saved.push(checksum::placeholder());
    let text = serde_json::to_string(header).expect("headers have a JSON form");
    let mut file = tensors::to_bytes(&saved, Some((HEADER, text)));
    checksum::fill(&mut file);
    Ok(file)
}

/// Puts the checkpoint at `path` into `trainer`, a fresh one for `config`.
///
/// # Errors
/// [`TrainError::Io`] if it cannot be read, [`TrainError::Damaged`] if it is cut, altered, of another format or another
/// network, and [`TrainError::OtherRun`] if it is one of another configuration. The trainer may then have some of it.
pub(crate) fn load<D: BinaryBackend>(
    path: &Path,
    config: &RunConfig,
    timeline: &Timeline,
    trainer: &mut RunTrainer<D>,
) -> Result<Header, TrainError> {
    let most = 4 * tensors::network_bytes(&trainer.network) + HEADER_AND_MASKS;
    let file = files::read_at_most(path, most)?;
    let mut restore = || {
        let (header, mut loaded) = open(&file)?;
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
                "is of step {step} (epoch {}, batch {}), which this run has not",
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

/// Puts weights, statistics and momentum of a checkpoint with the bytes `file` into `trainer`, a fresh one, whatever run it is of.
/// Returns where in the data the next batch would have stood.
///
/// # Errors
/// Says what is wrong; the trainer may then have some of it.
pub(crate) fn restore_end<D: BinaryBackend>(file: &[u8], trainer: &mut RunTrainer<D>) -> Result<Position, String> {
    let (header, mut loaded) = open(file)?;
    loaded.restore(&mut trainer.network)?;
    state::restore_momentum(trainer, &mut loaded)?;
    Ok(Position {
        epoch: header.epoch,
        batch: header.batch,
    })
}

/// Puts weights and statistics of a checkpoint with the bytes `file` into `network`, whatever it is frozen. Returns the configuration of
/// the run that it is of.
///
/// # Errors
/// Says what is wrong; the network may then have some of it.
pub(crate) fn restore_network<D: Backend>(
    file: &[u8],
    network: &mut impl VisitTensors<D>,
) -> Result<RunConfig, String> {
    let (header, mut loaded) = open(file)?;
    loaded.restore(network)?;
    RunConfig::from_toml(&header.config).map_err(|error| format!("configuration: {error}"))
}

/// The tensors of a file of weights: of a checkpoint, whose checksum is compared, or of any other safetensors file.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn tensors(file: &[u8]) -> Result<LoadedTensors<'_>, String> {
    let (_, metadata) =
        safetensors::SafeTensors::read_metadata(file).map_err(|error| format!("is no safetensors file: {error}"))?;
    let ours = metadata
        .metadata()
        .as_ref()
        .is_some_and(|metadata| metadata.contains_key(HEADER));
    match ours {
        true => open(file).map(|(_, loaded)| loaded),
        false => LoadedTensors::parse(file),
    }
}

/// The newest checkpoint of the run in `run`, and the optimizer steps done there, by its name.
pub(crate) fn newest(run: &Path) -> Result<Option<(u64, PathBuf)>, TrainError> {
    folder::CheckpointFolder::new(run).newest()
}

/// Optimizer steps done at the newest checkpoint of the run in `run`, by its name; 0 if there is none.
pub(crate) fn newest_step(run: &Path) -> Result<u64, TrainError> {
    Ok(newest(run)?.map_or(0, |(step, _)| step))
}

/// Optimizer steps done at the checkpoint at `path` whose bytes are `file`, if they are whole.
///
/// # Errors
/// [`TrainError::Damaged`], with the path, if they are cut, altered or of another format.
pub fn checkpoint_step(path: &Path, file: &[u8]) -> Result<u64, TrainError> {
    let header = open(file).map(|(header, _)| header.train_state.step);
    header.map_err(|problem| damaged(path, problem))
}

/// Header and tensors of a file. The header comes first: it says whether the rest can be understood.
fn open(file: &[u8]) -> Result<(Header, LoadedTensors<'_>), String> {
    let header = Header::parse(file)?;
    Ok((header, checksum::verify(file)?))
}

/// What a checkpoint may have beside its network, momentum and signs, which are less than four times the network: evaluations and
/// masks of activations, an eighth of a byte an entry. A larger file is refused unread.
const HEADER_AND_MASKS: u64 = 64 << 20;
