//! Requests to stop a run.

use serde::{Deserialize, Serialize};
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
    /// What several processes agreed on after the last step. They must stop at the same place.
    agreed: Option<StopRequest>,
}

/// When to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopRequest {
    /// Before or during an evaluation.
    pub(crate) now: bool,
    /// After a step and its evaluation.
    pub(crate) after_step: bool,
}

impl Stop {
    pub(super) fn new(flag: &Arc<AtomicBool>) -> Self {
        Self {
            flag: Arc::clone(flag),
            from_the_start: flag.load(Ordering::Relaxed),
            agreed: None,
        }
    }

    /// What this process was told.
    pub(super) fn request(&self) -> StopRequest {
        let after_step = self.flag.load(Ordering::Relaxed);
        StopRequest {
            now: after_step && !self.from_the_start,
            after_step,
        }
    }

    /// Sets what all processes agreed on. From then on, only that counts.
    pub(super) fn agree(&mut self, request: StopRequest) {
        self.agreed = Some(request);
    }

    /// Whether to stop before or during an evaluation.
    pub(super) fn should_stop_now(&self) -> bool {
        self.agreed.unwrap_or_else(|| self.request()).now
    }

    /// Whether to stop after a step and its evaluation.
    pub(super) fn should_stop_after_step(&self) -> bool {
        self.agreed.unwrap_or_else(|| self.request()).after_step
    }
}
