//! Moving a network along a plan.

use crate::MaskedQuantizer;
use stompp_rng::{Purpose, stream};
use stompp_schedule::{Order, Phase, Plan, RefreshRate};

/// One unit of a network: the weight of a binary convolution and the activation that feeds it.
#[derive(Debug)]
pub struct UnitMut<'a> {
    /// Name of the convolution, such as `layer1.0.conv1`.
    pub name: &'a str,
    /// The activation's quantizer; `None` if activations are continuous (BWN).
    pub activation: Option<&'a mut MaskedQuantizer>,
    /// The weight's quantizer.
    pub weight: &'a mut MaskedQuantizer,
}

/// A network that can freeze.
pub trait Freezable {
    /// The units, from input to output.
    fn units(&mut self) -> Vec<UnitMut<'_>>;

    /// The quantizer after the last unit, which feeds the head and belongs to no unit; `None` if it is continuous.
    fn final_activation(&mut self) -> Option<&mut MaskedQuantizer>;

    /// Commits everything: the deploy network, and the whole training of the STE baseline.
    fn commit_all(&mut self) {
        for unit in self.units() {
            unit.activation.into_iter().for_each(MaskedQuantizer::commit);
            unit.weight.commit();
        }
        self.final_activation().into_iter().for_each(MaskedQuantizer::commit);
    }

    /// Opens everything: the beginning of a training.
    fn open_all(&mut self) {
        for unit in self.units() {
            unit.activation.into_iter().for_each(MaskedQuantizer::open);
            unit.weight.open();
        }
        self.final_activation().into_iter().for_each(MaskedQuantizer::open);
    }
}

/// Freezes a network step by step.
///
/// What it does at a step is a pure function of (plan, refresh rate, seed, step) and the masks as they stand, so the masks
/// are the only state. The quantizer after the last unit shares the window of the unit that freezes last, whatever the
/// order (*ours*): it would otherwise sever the whole network before the others have frozen.
///
/// ```
/// use stompp_binarize::{Freezable, Freezer, MaskedQuantizer, Surrogate, UnitMut};
/// use stompp_schedule::{Plan, PlanSpec, RefreshRate};
///
/// struct OneLayer(MaskedQuantizer);
/// impl Freezable for OneLayer {
///     fn units(&mut self) -> Vec<UnitMut<'_>> {
///         vec![UnitMut { name: "conv", activation: None, weight: &mut self.0 }]
///     }
///     fn final_activation(&mut self) -> Option<&mut MaskedQuantizer> {
///         None
///     }
/// }
///
/// let mut net = OneLayer(MaskedQuantizer::new(1000, Surrogate::Blocked));
/// let plan = Plan::new(PlanSpec { tail: 10, ..PlanSpec::new(1, 100) })?;
/// let freezer = Freezer::new(plan, RefreshRate::steps(5.0)?, 0);
/// for step in 0..100 {
///     freezer.apply(step, &mut net); // then forward, backward, optimizer
/// }
/// assert_eq!(net.0.frozen_fraction(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Freezer {
    plan: Plan,
    refresh: RefreshRate,
    seed: u64,
}

/// What one step did to one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitReport {
    /// Its phase during the step.
    pub phase: Phase,
    /// Mask entries of the weight that changed.
    pub weight_flips: usize,
    /// Mask entries of the activation that changed.
    pub activation_flips: usize,
}

/// What one step did to a network.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeReport {
    /// One entry a unit, from input to output.
    pub units: Vec<UnitReport>,
}

impl FreezeReport {
    /// Number of committed units.
    pub fn committed(&self) -> usize {
        self.units.iter().filter(|unit| unit.phase == Phase::Committed).count()
    }
}

impl Freezer {
    /// A freezer for `plan`; masks are drawn from streams of `seed`.
    pub fn new(plan: Plan, refresh: RefreshRate, seed: u64) -> Self {
        Self { plan, refresh, seed }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Brings every unit into the state that is in force during optimizer step `step`. Call it once before each step, in
    /// order: a freezing unit's masks are refreshed by each call.
    ///
    /// # Panics
    /// If the network has not as many units as the plan.
    pub fn apply(&self, step: u64, network: &mut impl Freezable) -> FreezeReport {
        let units = network.units();
        assert_eq!(
            units.len(),
            self.plan.spec().units,
            "the plan was made for another network"
        );
        let reports = units
            .into_iter()
            .enumerate()
            .map(|(index, unit)| UnitReport {
                phase: self.plan.phase(step, index),
                weight_flips: self.advance(unit.weight, Purpose::WEIGHT_MASK, step, index, index),
                activation_flips: unit.activation.map_or(0, |activation| {
                    self.advance(activation, Purpose::ACTIVATION_MASK, step, index, index)
                }),
            })
            .collect();
        if let Some(activation) = network.final_activation() {
            self.advance(
                activation,
                Purpose::ACTIVATION_MASK,
                step,
                self.last_unit(),
                self.plan.spec().units,
            );
        }
        FreezeReport { units: reports }
    }

    /// The unit whose window is the last.
    fn last_unit(&self) -> usize {
        match self.plan.spec().order {
            Order::Forward | Order::Global => self.plan.spec().units - 1,
            Order::Reverse => 0,
        }
    }

    /// Brings one quantizer into the phase of `unit`, drawing from stream number `draw`; returns how many entries changed.
    fn advance(&self, quantizer: &mut MaskedQuantizer, purpose: Purpose, step: u64, unit: usize, draw: usize) -> usize {
        match self.plan.phase(step, unit) {
            Phase::Open => quantizer.open(),
            Phase::Committed => quantizer.commit(),
            Phase::Freezing { p } => {
                let r = self.refresh.resolve(self.plan.window(unit));
                return quantizer
                    .refresh(p, r, &mut stream(self.seed, purpose, draw as u64, step))
                    .changed;
            }
        }
        0
    }
}
