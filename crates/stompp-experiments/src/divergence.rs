//! Where a run diverged.

use serde::{Deserialize, Serialize};
use std::fmt;
use stompp_train::TrainError;

/// Where a run diverged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// Optimizer steps done before.
    pub step: u64,
    /// What became infinite or NaN, and in which layer first.
    pub reason: String,
}

impl Divergence {
    /// The divergence that ended a run with this error, if one did.
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
