//! Writes a run's checkpoints when they are due and removes those that nobody keeps.

use super::{
    Checkpointing, Header,
    cadence::Interval,
    encode,
    folder::{Folder, Kind},
};
use crate::{TrainError, config::Timeline, course::Course, step::RunTrainer};
use std::path::{Path, PathBuf};
use stompp_binarize::BinaryBackend;

/// Keeps the checkpoints of one run.
#[derive(Debug)]
pub(crate) struct Keeper {
    folder: Folder,
    rules: Checkpointing,
    interval: Interval,
    /// How many have been due so far.
    due: u64,
    /// Step and number of evaluations of the checkpoint that was written last.
    written: Option<(u64, usize)>,
    /// Whether one was written since superfluous ones were removed.
    unpruned: bool,
}

/// What a checkpoint is due for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    milestone: bool,
}

impl Keeper {
    /// # Errors
    /// If the time between checkpoints is less than a step.
    pub(crate) fn new(run: &Path, rules: &Checkpointing, timeline: &Timeline) -> Result<Self, TrainError> {
        Ok(Self {
            folder: Folder::of_run(run),
            interval: Interval::new(rules.every, timeline)?,
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
    pub(crate) fn go_on_from(&mut self, header: &Header) {
        self.due = self.interval.due(header.course.step, header.course.seconds);
        self.written = None;
    }

    /// What a checkpoint of `course` is due for, if one is: by the interval, or in any case if `now`, unless that very one was written
    /// already.
    pub(crate) fn due(&mut self, now: bool, course: &Course) -> Option<Due> {
        let reached = self.interval.due(course.step, course.seconds);
        let scheduled = reached > self.due;
        self.due = reached;
        let written = self.written == Some((course.step, course.evaluations.len()));
        let milestone = scheduled && self.rules.keep_every.is_some_and(|every| reached % every == 0);
        (scheduled || now && !written).then_some(Due { milestone })
    }

    /// Keeps a checkpoint for what it is due for.
    ///
    /// # Errors
    /// If a file cannot be written; those before are then as they were.
    pub(crate) fn keep<D: BinaryBackend>(
        &mut self,
        due: Due,
        header: &Header,
        trainer: &mut RunTrainer<D>,
    ) -> Result<(), TrainError> {
        let step = header.course.step;
        let file = encode(header, trainer)?;
        self.folder.write(Kind::Recent, step, &file)?;
        if due.milestone {
            self.folder.write(Kind::Milestone, step, &file)?;
        }
        self.written = Some((step, header.course.evaluations.len()));
        self.unpruned = true;
        Ok(())
    }

    /// Keeps a checkpoint as that of the best evaluation.
    ///
    /// # Errors
    /// As [`Keeper::keep`].
    pub(crate) fn keep_best<D: BinaryBackend>(
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
    pub(crate) fn discard(&mut self, step: u64) -> Result<(), TrainError> {
        self.written = None;
        self.folder.remove(step)
    }
}
