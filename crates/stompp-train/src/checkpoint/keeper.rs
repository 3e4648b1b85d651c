//! Writes a run's checkpoints when they are due and removes those that nobody keeps.

use super::{
    Checkpointing, Header,
    cadence::Interval,
    encode,
    folder::{Folder, Kind},
};
use crate::{TrainError, config::Timeline, course::Course, step::Learner};
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

/// What a checkpoint is due for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    best: bool,
    recent: bool,
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

    /// What a checkpoint of `course` is due for, if for anything; one of the newest in any case if `now`. Ask once a step.
    pub(crate) fn due(&mut self, now: bool, course: &Course) -> Option<Due> {
        let reached = self.interval.due(course.step, course.seconds);
        let scheduled = reached > self.due;
        self.due = reached;
        let due = Due {
            best: course.is_best(),
            recent: now || scheduled,
            milestone: scheduled && self.rules.keep_every.is_some_and(|every| reached % every == 0),
        };
        (due.best || due.recent).then_some(due)
    }

    /// Keeps a checkpoint for what it is due for.
    ///
    /// # Errors
    /// If a file cannot be written; those before are then as they were.
    pub(crate) fn keep<D: BinaryBackend>(
        &self,
        due: Due,
        header: &Header,
        learner: &mut Learner<D>,
    ) -> Result<(), TrainError> {
        let step = header.course.step;
        let file = encode(header, learner)?;
        if due.best {
            self.folder.write_best(&file)?;
        }
        if due.recent {
            self.folder.write(Kind::Recent, step, &file)?;
            self.folder.prune(self.rules.keep_last.get())?;
        }
        if due.milestone {
            self.folder.write(Kind::Milestone, step, &file)?;
        }
        Ok(())
    }
}
