//! The step and the reason of a divergence.

use serde::{Deserialize, Serialize};
use std::fmt;
use stompp_train::TrainError;

/// The step at which a run diverged, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// Optimizer steps done before.
    pub step: u64,
    /// The value that became infinite or NaN, and the first layer with it.
    pub reason: String,
}

impl Divergence {
    /// Returns the divergence that this error reports; `None` if it is another error.
    pub(crate) fn from_error(error: &TrainError) -> Option<Self> {
        match error {
            TrainError::NonFinite {
                what,
                step,
                value,
                layer,
                ..
            } => Some(Self {
                step: *step,
                reason: format!("the {what} became {value}, first in {layer}"),
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diverged at step {}: {}", self.step, self.reason)
    }
}
