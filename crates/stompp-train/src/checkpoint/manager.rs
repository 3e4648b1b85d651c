//! Writes a run's checkpoints when they are due and removes old ones.

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
    /// How many have been due so far.
    due: u64,
    /// Step and number of evaluations of the checkpoint that was written last.
    written: Option<(u64, usize)>,
    /// Whether one was written since superfluous ones were removed.
    unpruned: bool,
}

/// What a checkpoint is due for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DueCheckpoint {
    milestone: bool,
}

impl CheckpointManager {
    /// # Errors
    /// If the time between checkpoints is less than a step.
    pub(crate) fn new(run: &Path, rules: &Checkpointing, timeline: &Timeline) -> Result<Self, TrainError> {
        Ok(Self {
            folder: CheckpointFolder::new(run),
            interval: ResolvedInterval::new(rules.every, timeline)?,
            rules: rules.clone(),
            due: 0,
            written: None,
            // An interrupted run may have left some.
            unpruned: true,
        })
    }

    /// The last checkpoint of the run.
    pub(crate) fn newest(&self) -> Result<Option<PathBuf>, TrainError> {
        Ok(self.folder.newest()?.map(|(_, path)| path))
    }

    /// Counts from `header` on, the state that the run is in.
    pub(crate) fn resume_from(&mut self, header: &Header) {
        self.due = self
            .interval
            .count_due(header.train_state.step, header.train_state.seconds);
        self.written = None;
    }

    /// What a checkpoint of `train_state` is due for, if one is: by the interval, or in any case if `now`, unless that very one was written
    /// already.
    pub(crate) fn due(&mut self, now: bool, train_state: &TrainState) -> Option<DueCheckpoint> {
        let reached = self.interval.count_due(train_state.step, train_state.seconds);
        let scheduled = reached > self.due;
        self.due = reached;
        let written = self.written == Some((train_state.step, train_state.evaluations.len()));
        let milestone = scheduled && self.rules.keep_every.is_some_and(|every| reached % every == 0);
        (scheduled || now && !written).then_some(DueCheckpoint { milestone })
    }

    /// Keeps a checkpoint for what it is due for.
    ///
    /// # Errors
    /// If a file cannot be written; those before are then as they were.
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

    /// Keeps a checkpoint as that of the best evaluation.
    ///
    /// # Errors
    /// As [`CheckpointManager::save`].
    pub(crate) fn save_best<D: BinaryBackend>(
        &self,
        header: &Header,
        trainer: &mut RunTrainer<D>,
    ) -> Result<(), TrainError> {
        self.folder.write_best(&encode(header, trainer)?).map(drop)
    }

    /// Removes all but the newest, if one has come.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub(crate) fn prune(&mut self) -> Result<(), TrainError> {
        if std::mem::take(&mut self.unpruned) {
            self.folder.prune(self.rules.keep_last.get())?;
        }
        Ok(())
    }

    /// Removes the numbered checkpoints of `step`.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub(crate) fn remove(&mut self, step: u64) -> Result<(), TrainError> {
        self.written = None;
        self.folder.remove(step)
    }
}
