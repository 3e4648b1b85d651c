//! Writes the checkpoints of a run when they are due, and removes old ones. A thread does that while the training goes on. Its errors are
//! returned by a later call.

use super::{
    Checkpointing, Header,
    folder::{CheckpointFolder, CheckpointKind},
    interval::ResolvedInterval,
    snapshot,
    writer::BackgroundWriter,
};
use crate::{TrainError, config::Timeline, files, step::RunTrainer, train_state::TrainState};
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
    /// Step and number of evaluations of the last checkpoint, which may still be written.
    written: Option<(u64, usize)>,
    /// Whether there is a new checkpoint since the last pruning.
    unpruned: bool,
    writer: BackgroundWriter,
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
    /// Returns [`TrainError::Config`] if the time between checkpoints is less than one step, and [`TrainError::Io`] if the thread that
    /// writes cannot be started.
    pub(crate) fn new(run: &Path, rules: &Checkpointing, timeline: &Timeline) -> Result<Self, TrainError> {
        let writer = BackgroundWriter::new().map_err(|error| files::io_error("start a thread for", run, error))?;
        Ok(Self {
            folder: CheckpointFolder::new(run),
            interval: ResolvedInterval::new(rules.every, timeline)?,
            rules: rules.clone(),
            due: 0,
            written: None,
            // An interrupted run may have left old checkpoints.
            unpruned: true,
            writer,
        })
    }

    /// The newest checkpoint of the run.
    pub(crate) fn newest(&mut self) -> Result<Option<PathBuf>, TrainError> {
        self.finish()?;
        Ok(self.folder.newest()?.map(|(_, path)| path))
    }

    /// Continues counting from the restored checkpoint with the header `header`.
    pub(crate) fn resume_from(&mut self, header: &Header) {
        self.due = self
            .interval
            .count_due(header.train_state.step, header.train_state.seconds);
        self.written = None;
    }

    /// Returns the checkpoint that is due at `train_state`, if any. One is due when the interval has passed, or if `now` is set and there
    /// is no checkpoint of this state yet.
    pub(crate) fn due(&mut self, now: bool, train_state: &TrainState) -> Option<DueCheckpoint> {
        let reached = self.interval.count_due(train_state.step, train_state.seconds);
        let scheduled = reached > self.due;
        self.due = reached;
        let written = self.written == Some((train_state.step, train_state.evaluations.len()));
        let milestone = scheduled && self.rules.keep_every.is_some_and(|every| reached % every == 0);
        (scheduled || now && !written).then_some(DueCheckpoint { milestone })
    }

    /// Copies the state for the checkpoint `due`, and starts to write it. Waits for the checkpoint before it, so that only one copy is in
    /// memory.
    ///
    /// # Errors
    /// Returns [`TrainError::NonFinite`] if the network is not finite, [`TrainError::Device`] if its state cannot be read from the device,
    /// and [`TrainError::Io`] if an earlier file could not be written. Earlier checkpoints are then unchanged.
    pub(crate) fn save<D: BinaryBackend>(
        &mut self,
        due: DueCheckpoint,
        header: &Header,
        trainer: &mut RunTrainer<D>,
    ) -> Result<(), TrainError> {
        self.finish()?;
        let step = header.train_state.step;
        let (folder, snapshot) = (self.folder.clone(), snapshot(header, trainer)?);
        self.writer.start(move || {
            let parts = snapshot.parts();
            folder.write(CheckpointKind::Recent, step, &parts)?;
            if due.milestone {
                folder.write(CheckpointKind::Milestone, step, &parts)?;
            }
            Ok(())
        })?;
        self.written = Some((step, header.train_state.evaluations.len()));
        self.unpruned = true;
        Ok(())
    }

    /// As [`CheckpointManager::save`], for the checkpoint of the best evaluation.
    ///
    /// # Errors
    /// Returns the errors of [`CheckpointManager::save`].
    pub(crate) fn save_best<D: BinaryBackend>(
        &mut self,
        header: &Header,
        trainer: &mut RunTrainer<D>,
    ) -> Result<(), TrainError> {
        self.finish()?;
        let (folder, snapshot) = (self.folder.clone(), snapshot(header, trainer)?);
        self.writer
            .start(move || folder.write_best(&snapshot.parts()).map(drop))
    }

    /// Starts to remove old checkpoints, if there is a new one since the last pruning. Those that are being written are complete
    /// before.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if an earlier file could not be written or removed.
    pub(crate) fn prune(&mut self) -> Result<(), TrainError> {
        if std::mem::take(&mut self.unpruned) {
            let (folder, keep) = (self.folder.clone(), self.rules.keep_last.get());
            self.writer.start(move || folder.prune(keep))?;
        }
        self.writer.check()
    }

    /// Waits until all files are written and removed.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if a file could not be written or removed.
    pub(crate) fn finish(&mut self) -> Result<(), TrainError> {
        self.writer.wait()
    }

    /// Removes the numbered checkpoints of `step`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if a file cannot be removed.
    pub(crate) fn remove(&mut self, step: u64) -> Result<(), TrainError> {
        self.finish()?;
        self.written = None;
        self.folder.remove(step)
    }
}
