//! Writes the checkpoints of a run when they are due, and removes old ones.

use super::{
    Checkpointing, Header, encode,
    folder::{CheckpointFolder, CheckpointKind},
    interval::ResolvedInterval,
};
use crate::{TrainError, config::Timeline, step::RunTrainer, train_state::TrainState};
use std::path::{Path, PathBuf};
use stompp_binarize::BinaryBackend;

/// Writes and removes the checkpoints of one run.
#[derive(Debug)]
pub(crate) struct CheckpointManager {
    folder: CheckpointFolder,
    rules: Checkpointing,
    interval: ResolvedInterval,
    /// Number of checkpoints that have been due so far.
    due: u64,
    /// Step and number of evaluations of the last written checkpoint.
    written: Option<(u64, usize)>,
    /// Whether a checkpoint was written since the last pruning.
    unpruned: bool,
}

/// A checkpoint that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DueCheckpoint {
    milestone: bool,
}

impl CheckpointManager {
    /// Creates the manager for the run directory `run`.
    ///
    /// # Errors
    /// Returns [`TrainError::Config`] if the time between checkpoints is less than one step.
    pub(crate) fn new(run: &Path, rules: &Checkpointing, timeline: &Timeline) -> Result<Self, TrainError> {
        Ok(Self {
            folder: CheckpointFolder::new(run),
            interval: ResolvedInterval::new(rules.every, timeline)?,
            rules: rules.clone(),
            due: 0,
            written: None,
            // An interrupted run may have left old checkpoints.
            unpruned: true,
        })
    }

    /// The newest checkpoint of the run.
    pub(crate) fn newest(&self) -> Result<Option<PathBuf>, TrainError> {
        Ok(self.folder.newest()?.map(|(_, path)| path))
    }

    /// Continues counting from the restored checkpoint with the header `header`.
    pub(crate) fn resume_from(&mut self, header: &Header) {
        self.due = self
            .interval
            .count_due(header.train_state.step, header.train_state.seconds);
        self.written = None;
    }

    /// Returns the checkpoint that is due at `train_state`, if any. One is due when the interval has passed, or if `now` is set and no
    /// checkpoint of this state was written yet.
    pub(crate) fn due(&mut self, now: bool, train_state: &TrainState) -> Option<DueCheckpoint> {
        let reached = self.interval.count_due(train_state.step, train_state.seconds);
        let scheduled = reached > self.due;
        self.due = reached;
        let written = self.written == Some((train_state.step, train_state.evaluations.len()));
        let milestone = scheduled && self.rules.keep_every.is_some_and(|every| reached % every == 0);
        (scheduled || now && !written).then_some(DueCheckpoint { milestone })
    }

    /// Writes the checkpoint `due`.
    ///
    /// # Errors
    /// Returns [`TrainError::NonFinite`] if the network is not finite, [`TrainError::Device`] if its state cannot be read from the device,
    /// and [`TrainError::Io`] if a file cannot be written. Earlier checkpoints are then unchanged.
    pub(crate) fn save<D: BinaryBackend>(
        &mut self,
        due: DueCheckpoint,
        header: &Header,
        trainer: &mut RunTrainer<D>,
    ) -> Result<(), TrainError> {
        let step = header.train_state.step;
        let file = encode(header, trainer)?;
        self.folder.write(CheckpointKind::Recent, step, &file)?;
        if due.milestone {
            self.folder.write(CheckpointKind::Milestone, step, &file)?;
        }
        self.written = Some((step, header.train_state.evaluations.len()));
        self.unpruned = true;
        Ok(())
    }

    /// Writes the checkpoint of the best evaluation.
    ///
    /// # Errors
    /// Returns the errors of [`CheckpointManager::save`].
    pub(crate) fn save_best<D: BinaryBackend>(
        &self,
        header: &Header,
        trainer: &mut RunTrainer<D>,
    ) -> Result<(), TrainError> {
        self.folder.write_best(&encode(header, trainer)?).map(drop)
    }

    /// Removes old checkpoints, if a checkpoint was written since the last pruning.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if a file cannot be removed.
    pub(crate) fn prune(&mut self) -> Result<(), TrainError> {
        if std::mem::take(&mut self.unpruned) {
            self.folder.prune(self.rules.keep_last.get())?;
        }
        Ok(())
    }

    /// Removes the numbered checkpoints of `step`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if a file cannot be removed.
    pub(crate) fn remove(&mut self, step: u64) -> Result<(), TrainError> {
        self.written = None;
        self.folder.remove(step)
    }
}
