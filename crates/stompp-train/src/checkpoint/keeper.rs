//! Writes a run's checkpoints when they are due and removes those that nobody keeps.

use super::{
    Checkpointing, Header,
    cadence::Interval,
    encode,
    folder::{Folder, Kind},
};
use crate::{TrainError, config::Timeline, step::Learner};
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
        })
    }

    /// The last checkpoint of the run.
    pub(crate) fn newest(&self) -> Result<Option<PathBuf>, TrainError> {
        Ok(self.folder.newest()?.map(|(_, path)| path))
    }

    /// Counts from `header` on, the state that the run is in.
    pub(crate) fn go_on_from(&mut self, header: &Header) {
        self.due = self.interval.due(header.course.step, header.course.seconds);
    }

    /// Keeps a checkpoint for whatever it is due; one of the newest in any case if `now`.
    ///
    /// # Errors
    /// If a file cannot be written; those before are then as they were.
    pub(crate) fn keep<D: BinaryBackend>(
        &mut self,
        now: bool,
        header: &Header,
        learner: &mut Learner<D>,
    ) -> Result<(), TrainError> {
        let (step, best) = (header.course.step, header.course.is_best());
        let due = self.interval.due(step, header.course.seconds);
        let scheduled = due > self.due;
        self.due = due;
        if !(now || best || scheduled) {
            return Ok(());
        }
        let file = encode(header, learner)?;
        if best {
            self.folder.write_best(&file)?;
        }
        if now || scheduled {
            self.folder.write(Kind::Recent, step, &file)?;
            self.folder.prune(self.rules.keep_last.get())?;
        }
        if scheduled && self.rules.keep_every.is_some_and(|every| due % every == 0) {
            self.folder.write(Kind::Milestone, step, &file)?;
        }
        Ok(())
    }
}
