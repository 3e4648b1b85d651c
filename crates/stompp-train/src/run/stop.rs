//! When a run heeds the request to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The request to stop. One that stands before the run begins lets it take one step with its evaluation, so that a caller who
/// never withdraws it still gets on.
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

    /// Whether to stop before or inside of an evaluation.
    pub(super) fn should_stop_now(&self) -> bool {
        self.should_stop_after_step() && !self.from_the_start
    }

    /// Whether to stop after a step with its evaluation.
    pub(super) fn should_stop_after_step(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}
