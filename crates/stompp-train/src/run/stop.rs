//! Requests to stop a run.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A request to stop. If it is set before the run starts, the run still does one step with its evaluation, so that a caller who never
/// clears it makes progress.
#[derive(Debug)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    from_the_start: bool,
}

impl Stop {
    pub(super) fn new(flag: &Arc<AtomicBool>) -> Self {
        Self {
            flag: Arc::clone(flag),
            from_the_start: flag.load(Ordering::Relaxed),
        }
    }

    /// Whether to stop before or during an evaluation.
    pub(super) fn should_stop_now(&self) -> bool {
        self.should_stop_after_step() && !self.from_the_start
    }

    /// Whether to stop after a step and its evaluation.
    pub(super) fn should_stop_after_step(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}
