//! The methods: what each does to the network's freeze states before a step.

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
    /// Whether every unit and what follows the last one is committed.
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

/// What freezes when: a pure function of the step, so there is nothing in it to save.
#[derive(Clone, Debug)]
pub(crate) enum FreezePolicy {
    /// Nothing, ever (`float`).
    Never,
    /// Everything, from the first step (`ste`).
    AtOnce,
    /// Unit after unit (`stompp`, `stompp-ste`).
    Progressive(Freezer),
}

impl FreezePolicy {
    /// The freezing of the configured method, along `plan` where it has one.
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

    /// Brings `network` into the state that is in force during optimizer step `step`. Call it once before each step, in
    /// order, and once with the number of steps when training is over. Tells what a plan did.
    ///
    /// # Errors
    /// [`TrainError::Device`] if a mask is on a device that fails.
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
    /// The mode that evaluates the deploy network: every mask all ones; for `float` the network as it is.
    pub fn deployed(self) -> EvalMode {
        match self {
            Self::Float => EvalMode::Current,
            Self::Ste | Self::Stompp | Self::StomppSte => EvalMode::Binarized,
        }
    }
}
