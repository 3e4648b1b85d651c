//! Freezing a network by a plan.

use crate::{MaskedQuantizer, Refresher};
use stompp_nn::DeviceError;
use stompp_rng::{Purpose, StreamKey};
use stompp_schedule::{Phase, Plan, PlanError, PlanSpec, RefreshRate, Schedule};

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

/// Draws masks on the host.
struct HostRefresher;

impl Refresher for HostRefresher {}

/// A network that can freeze.
pub trait Freezable {
    /// The units, from input to output.
    fn units(&mut self) -> Vec<UnitMut<'_>>;

    /// The quantizers that feed no binary convolution, such as the one before the average pool. They belong to no unit. There are
    /// none if activations are continuous.
    fn head_activations(&mut self) -> Vec<&mut MaskedQuantizer>;

    /// The [`Refresher`] that draws the masks. By default the host draws them.
    fn refresher(&self) -> Box<dyn Refresher> {
        Box::new(HostRefresher)
    }

    /// Commits everything. This gives the deploy network; the STE baseline trains in this state from the start.
    fn commit_all(&mut self) {
        for unit in self.units() {
            unit.activation.into_iter().for_each(MaskedQuantizer::commit);
            unit.weight.commit();
        }
        self.head_activations().into_iter().for_each(MaskedQuantizer::commit);
    }

    /// Opens everything, as at the beginning of a training.
    fn open_all(&mut self) {
        for unit in self.units() {
            unit.activation.into_iter().for_each(MaskedQuantizer::open);
            unit.weight.open();
        }
        self.head_activations().into_iter().for_each(MaskedQuantizer::open);
    }
}

/// Freezes a network step by step.
///
/// A step is a pure function of plan, refresh rate, seed, step number and current masks, so the masks are the only state. Head
/// activations share the window of the unit that freezes last, in every order (*ours*). If they were committed earlier, they would
/// block the gradient of units that are not frozen yet.
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
///     fn head_activations(&mut self) -> Vec<&mut MaskedQuantizer> {
///         Vec::new()
///     }
/// }
///
/// let mut net = OneLayer(MaskedQuantizer::new(1000, Surrogate::Blocked));
/// let plan = Plan::new(PlanSpec { tail: 10, ..PlanSpec::new(1, 100) })?;
/// let freezer = Freezer::new(plan, RefreshRate::from_steps(5.0)?, 0);
/// for step in 0..100 {
///     freezer.apply(step, &mut net)?; // then forward, backward, optimizer
/// }
/// assert_eq!(net.0.frozen_fraction(), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Freezer<S = Plan> {
    plan: S,
    windows: WindowSharing,
    refresh: RefreshRate,
    seed: u64,
}

/// Which quantizers share a window of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum WindowSharing {
    /// A weight and the activation that feeds it: each unit has one window.
    #[default]
    Together,
    /// Each quantizer has a window of its own, in the order of the forward pass. A unit's activation comes before its weight if units
    /// freeze from input to output (*ours*). If activations are continuous, each unit has one window.
    Separately,
}

impl WindowSharing {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Together, Self::Separately];

    /// The name in configurations.
    // Written by hand: `strum` would not be shorter for two names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Separately => "separately",
        }
    }

    /// Number of windows for `units` units. `activations_freeze` is `false` if activations are continuous.
    pub fn count(self, units: usize, activations_freeze: bool) -> usize {
        match self {
            Self::Separately if activations_freeze => 2 * units,
            Self::Separately | Self::Together => units,
        }
    }

    /// The windows of unit `unit`: its activation's and its weight's.
    fn for_unit(self, unit: usize, activations_freeze: bool) -> (usize, usize) {
        match self {
            Self::Separately if activations_freeze => (2 * unit, 2 * unit + 1),
            Self::Separately | Self::Together => (unit, unit),
        }
    }
}

/// The effect of one step on one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitReport {
    /// The weight's phase during the step.
    pub phase: Phase,
    /// Mask entries of the weight that a refresh changed.
    pub weight_flips: usize,
    /// Mask entries of the activation that a refresh changed.
    pub activation_flips: usize,
}

/// The effect of one step on a network.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeReport {
    /// One entry per unit, from input to output.
    pub units: Vec<UnitReport>,
}

impl FreezeReport {
    /// Number of committed units.
    pub fn committed(&self) -> usize {
        self.units.iter().filter(|unit| unit.phase == Phase::Committed).count()
    }
}

impl Freezer {
    /// Creates a freezer with the paper's plan for `network`: forward and cubic, over `steps` steps. In the last twentieth of the steps
    /// everything is committed (*ours*). Masks are drawn from streams of seed 0.
    ///
    /// # Errors
    /// Returns a [`PlanError`] if the network has no units, or there are not enough steps for its units.
    pub fn for_network(network: &mut impl Freezable, steps: u64, refresh: RefreshRate) -> Result<Self, PlanError> {
        let spec = PlanSpec {
            tail: steps / 20,
            ..PlanSpec::new(network.units().len(), steps)
        };
        Ok(Self::new(Plan::new(spec)?, refresh, 0))
    }
}

impl<S: Schedule> Freezer<S> {
    /// Creates a freezer for `plan`, a [`Plan`] or a schedule of your own. Masks are drawn from streams of `seed`.
    pub fn new(plan: S, refresh: RefreshRate, seed: u64) -> Self {
        Self {
            plan,
            windows: WindowSharing::default(),
            refresh,
            seed,
        }
    }

    /// Sets which quantizers share a window. The plan must have [`WindowSharing::count`] windows.
    #[must_use]
    pub fn with_windows(self, windows: WindowSharing) -> Self {
        Self { windows, ..self }
    }

    /// The plan.
    pub fn plan(&self) -> &S {
        &self.plan
    }

    /// The phase of a unit's weight during optimizer step `step`; `activations_freeze` as in [`WindowSharing::count`].
    pub fn weight_phase(&self, step: u64, unit: usize, activations_freeze: bool) -> Phase {
        let (_, window) = self.windows.for_unit(unit, activations_freeze);
        self.plan.phase(step, window)
    }

    /// Updates every unit for optimizer step `step`. Call it once before each step, in order: each call refreshes the masks of a
    /// freezing unit.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if a mask is on a device that fails. Some quantizers may then have the state of the previous step.
    ///
    /// # Panics
    /// If the plan does not have as many windows as the network needs.
    pub fn apply(&self, step: u64, network: &mut impl Freezable) -> Result<FreezeReport, DeviceError> {
        let refresher = &*network.refresher();
        let units = network.units();
        let count = units.len();
        let activations_freeze = units.iter().any(|unit| unit.activation.is_some());
        assert_eq!(
            self.windows.count(count, activations_freeze),
            self.plan.units(),
            "the plan was made for another network"
        );
        let reports = units
            .into_iter()
            .enumerate()
            .map(|(index, unit)| {
                let (activation_window, window) = self.windows.for_unit(index, activations_freeze);
                Ok(UnitReport {
                    phase: self.plan.phase(step, window),
                    weight_flips: self.advance(refresher, unit.weight, Purpose::WEIGHT_MASK, step, window, index)?,
                    activation_flips: unit.activation.map_or(Ok(0), |activation| {
                        self.advance(
                            refresher,
                            activation,
                            Purpose::ACTIVATION_MASK,
                            step,
                            activation_window,
                            index,
                        )
                    })?,
                })
            })
            .collect::<Result<_, DeviceError>>()?;
        for (index, activation) in network.head_activations().into_iter().enumerate() {
            self.advance(
                refresher,
                activation,
                Purpose::ACTIVATION_MASK,
                step,
                self.plan.last_unit(),
                count + index,
            )?;
        }
        Ok(FreezeReport { units: reports })
    }

    /// Updates one quantizer to the phase of a window. Draws from stream number `draw`. Returns how many entries a refresh changed.
    fn advance(
        &self,
        refresher: &dyn Refresher,
        quantizer: &mut MaskedQuantizer,
        purpose: Purpose,
        step: u64,
        window: usize,
        draw: usize,
    ) -> Result<usize, DeviceError> {
        match self.plan.phase(step, window) {
            Phase::Open => quantizer.open(),
            Phase::Committed => quantizer.commit(),
            Phase::Freezing { p } => {
                let r = self.refresh.resolve(self.plan.window(window));
                let key = StreamKey::new(self.seed, purpose, draw as u64, step);
                return Ok(quantizer.refresh_with(refresher, p, r, &key)?.changed);
            }
        }
        Ok(0)
    }
}
