//! How each method sets the network's freeze states before a step.

use crate::{
    TrainError,
    config::{Method, RunConfig},
    error::device_error,
};
use stompp_binarize::{EvalMode, Freezable, FreezeReport, FreezeState, Freezer, MaskedQuantizer};
use stompp_schedule::Plan;

/// How much of a network is frozen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FrozenCounts {
    /// Committed units.
    pub(crate) committed_units: usize,
    /// Units of the network.
    pub(crate) units: usize,
    /// Mean over the units of the share of frozen weight entries, in [0, 1].
    pub(crate) frozen_fraction: f64,
    /// Whether every unit and every activation after the last unit is committed.
    pub(crate) everything: bool,
}

impl FrozenCounts {
    /// How much of `network` is frozen now.
    pub(crate) fn count(network: &mut impl Freezable) -> Self {
        let committed = |quantizer: &MaskedQuantizer| *quantizer.state() == FreezeState::Committed;
        let heads = network.head_activations().iter().all(|quantizer| committed(quantizer));
        let units = network.units();
        let committed_units = units.iter().filter(|unit| committed(unit.weight)).count();
        Self {
            committed_units,
            units: units.len(),
            frozen_fraction: units.iter().map(|unit| unit.weight.frozen_fraction()).sum::<f64>() / units.len() as f64,
            everything: heads && committed_units == units.len(),
        }
    }

    /// Share of the units that are committed, in [0, 1].
    pub(crate) fn committed_fraction(&self) -> f64 {
        self.committed_units as f64 / self.units as f64
    }
}

/// The freezing of a method. It is a pure function of the step, so checkpoints do not contain it.
#[derive(Clone, Debug)]
pub(crate) enum FreezePolicy {
    /// Nothing freezes (`float`).
    Never,
    /// Everything is committed from the first step (`ste`).
    AtOnce,
    /// Units freeze one after another (`stompp`, `stompp-ste`).
    Progressive(Freezer),
}

impl FreezePolicy {
    /// Creates the freezing of the configured method, with `plan` if the method has one.
    pub(crate) fn new(config: &RunConfig, plan: Option<Plan>) -> Self {
        match (plan, config.method.name) {
            (Some(plan), _) => {
                let freezer = Freezer::new(plan, config.method.refresh, config.seed);
                Self::Progressive(freezer.with_windows(config.method.freeze_unit))
            }
            (None, Method::Float) => Self::Never,
            (None, Method::Ste | Method::Stompp | Method::StomppSte) => Self::AtOnce,
        }
    }

    /// Sets the freeze states of `network` for optimizer step `step`. Call it once before each step, in order, and once with the
    /// number of steps after the last step. Returns a report if there is a plan.
    ///
    /// # Errors
    /// Returns [`TrainError::Device`] if updating a mask on the device fails.
    pub(crate) fn apply(&self, step: u64, network: &mut impl Freezable) -> Result<Option<FreezeReport>, TrainError> {
        Ok(match self {
            Self::Never => None,
            Self::AtOnce => {
                network.commit_all();
                None
            }
            Self::Progressive(freezer) => Some(freezer.apply(step, network).map_err(device_error)?),
        })
    }
}

impl Method {
    /// The mode that evaluates the deploy network: every mask all ones, or for `float` the network unchanged.
    pub fn deployed(self) -> EvalMode {
        match self {
            Self::Float => EvalMode::Current,
            Self::Ste | Self::Stompp | Self::StomppSte => EvalMode::Binarized,
        }
    }
}
