//! The plan: the phase of every unit at every step. It is a pure function without state, so nothing has to be saved.

use crate::window::{partition_point, window_start};
use crate::{Curve, Order, Schedule};
use core::fmt;
use core::ops::Range;

/// The settings of a [`Plan`]. The fields are public, so a caller names those that it sets:
///
/// ```
/// use stompp_schedule::{Order, PlanSpec};
///
/// let spec = PlanSpec { warm_up: 500, order: Order::Reverse, ..PlanSpec::new(8, 10_000) };
/// # assert_eq!(spec.tail, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanSpec {
    /// Number of units that freeze.
    pub units: usize,
    /// Optimizer steps of the whole training.
    pub steps: u64,
    /// Steps before the first window, with everything open.
    pub warm_up: u64,
    /// Steps after the last window, with everything committed.
    pub tail: u64,
    /// How the target fraction rises inside a window.
    pub curve: Curve,
    /// The order in which the units freeze.
    pub order: Order,
}

impl PlanSpec {
    /// `units` units over `steps` steps: cubic, forward, no warm-up, no tail.
    pub const fn new(units: usize, steps: u64) -> Self {
        Self {
            units,
            steps,
            warm_up: 0,
            tail: 0,
            curve: Curve::Cubic,
            order: Order::Forward,
        }
    }
}

/// The state of a unit during one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// Before its window: nothing frozen.
    Open,
    /// Inside its window: the mask is refreshed once before the step, towards the fraction `p`.
    Freezing {
        /// The target fraction, in `[0, 1]`; 0 at the first step of the window.
        p: f64,
    },
    /// After its window: everything frozen, for good.
    Committed,
}

/// Assigns a window of steps to each unit, and gives the [`Phase`] of every unit at every step.
///
/// The windows cover `warm_up .. steps - tail` without gap or overlap, one per unit. For `n` units over the steps `a..b`,
/// window `i` begins at `a + i * (b - a) / n`, rounded half to even in exact integers. In [`Order::Global`] all units share
/// the window `a..b`.
///
/// # Boundaries
///
/// `phase(step, unit)` is the phase *during* optimizer step `step`; the first step is 0. For a unit with the window `a..b`,
/// where `T = b - a`:
///
/// | step | phase | mask during the step |
/// |---|---|---|
/// | `step < a` | `Open` | all zeros |
/// | `step = a` | `Freezing { p: 0 }` | refreshed once towards `p(0) = 0`: still all zeros |
/// | `a < step < b` | `Freezing { p: curve((step - a) / T) }` | refreshed `step - a + 1` times |
/// | `step >= b` | `Committed` | all ones |
///
/// So `T` refreshes use `p(0), p(1/T), …, p((T-1)/T)`, and the jump to all ones happens before step `b`. Steps past the
/// end of the training are allowed. From `steps - tail` on everything is committed, so `phase(steps, unit)` is the state
/// of the finished network.
///
/// Source: *paper* for layerwise windows, curves and orders; the exact boundaries, warm-up and tail are *ours*.
///
/// ```
/// use stompp_schedule::{Phase, Plan, PlanSpec};
///
/// let plan = Plan::new(PlanSpec { warm_up: 10, tail: 10, ..PlanSpec::new(2, 100) })?;
/// assert_eq!(plan.window(0), 10..50);
/// assert_eq!(plan.window(1), 50..90);
/// assert_eq!(plan.phase(30, 0), Phase::Freezing { p: 0.125 });
/// assert_eq!(plan.phase(30, 1), Phase::Open);
/// assert_eq!(plan.phase(50, 0), Phase::Committed);
/// assert_eq!(plan.commits_at(50), 0..1);
/// # Ok::<(), stompp_schedule::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    spec: PlanSpec,
    /// Steps that the windows cover: `steps - warm_up - tail`.
    span: u64,
}

impl Plan {
    /// Creates the plan of `spec`.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::NoUnits`] or [`PlanError::NoSteps`] if there are no units or no steps. Returns
    /// [`PlanError::TooFewSteps`] if warm-up and tail leave less than one step per window; [`Order::Global`] has one window.
    pub fn new(spec: PlanSpec) -> Result<Self, PlanError> {
        if spec.units == 0 {
            return Err(PlanError::NoUnits);
        }
        if spec.steps == 0 {
            return Err(PlanError::NoSteps);
        }
        let span = spec
            .steps
            .checked_sub(spec.warm_up)
            .and_then(|rest| rest.checked_sub(spec.tail));
        let windows = if spec.order == Order::Global {
            1
        } else {
            spec.units as u64
        };
        match span {
            Some(span) if span >= windows => Ok(Self { spec, span }),
            _ => Err(PlanError::TooFewSteps {
                windows,
                steps: spec.steps,
                warm_up: spec.warm_up,
                tail: spec.tail,
            }),
        }
    }

    /// The settings of the plan.
    pub const fn spec(&self) -> &PlanSpec {
        &self.spec
    }

    /// The steps `a..b` in which `unit` freezes; never empty.
    ///
    /// # Panics
    ///
    /// If `unit` is not below the number of units.
    pub fn window(&self, unit: usize) -> Range<u64> {
        assert!(
            unit < self.spec.units,
            "unit {unit} of a plan with {} units",
            self.spec.units
        );
        self.window_in_turn(match self.spec.order {
            Order::Forward | Order::Global => unit,
            Order::Reverse => self.spec.units - 1 - unit,
        })
    }

    /// The phase of `unit` during optimizer step `step`; see the type's documentation for the boundaries.
    ///
    /// # Panics
    ///
    /// If `unit` is not below the number of units.
    pub fn phase(&self, step: u64, unit: usize) -> Phase {
        Schedule::phase(self, step, unit)
    }

    /// The units that are [`Phase::Open`] during `step`.
    pub fn open_units(&self, step: u64) -> Range<usize> {
        self.units_in_turn(self.begun(step)..self.spec.units)
    }

    /// The units that are [`Phase::Freezing`] during `step`: at most one, or all in [`Order::Global`].
    pub fn freezing_units(&self, step: u64) -> Range<usize> {
        self.units_in_turn(self.ended(step)..self.begun(step))
    }

    /// The units that are [`Phase::Committed`] during `step`.
    pub fn committed_units(&self, step: u64) -> Range<usize> {
        self.units_in_turn(0..self.ended(step))
    }

    /// The units whose first committed step is `step`: their masks become all ones before it.
    ///
    /// Without a tail the last units commit at step `steps`, that is, after the last optimizer step.
    pub fn commits_at(&self, step: u64) -> Range<usize> {
        let before = step.checked_sub(1).map_or(0, |previous| self.ended(previous));
        self.units_in_turn(before..self.ended(step))
    }

    /// The window of the unit that freezes as number `turn`, counted from 0.
    fn window_in_turn(&self, turn: usize) -> Range<u64> {
        let Self {
            spec: PlanSpec {
                units, warm_up, order, ..
            },
            span,
        } = *self;
        let (start, end) = match order {
            Order::Global => (0, span),
            Order::Forward | Order::Reverse => {
                let (turn, units) = (turn as u64, units as u64);
                (window_start(turn, units, span), window_start(turn + 1, units, span))
            }
        };
        warm_up + start..warm_up + end
    }

    /// How many windows begin at `step` or before.
    fn begun(&self, step: u64) -> usize {
        partition_point(self.spec.units, |turn| self.window_in_turn(turn).start <= step)
    }

    /// How many windows end at `step` or before.
    fn ended(&self, step: u64) -> usize {
        partition_point(self.spec.units, |turn| self.window_in_turn(turn).end <= step)
    }

    /// Converts a range of turns to a range of units.
    fn units_in_turn(&self, turns: Range<usize>) -> Range<usize> {
        match self.spec.order {
            Order::Forward | Order::Global => turns,
            Order::Reverse => self.spec.units - turns.end..self.spec.units - turns.start,
        }
    }
}

/// The settings do not give a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The plan would have 0 units.
    NoUnits,
    /// The plan would have 0 steps.
    NoSteps,
    /// Warm-up and tail leave less than one step for each window.
    TooFewSteps {
        /// Number of windows.
        windows: u64,
        /// Steps of the whole training.
        steps: u64,
        /// Steps before the first window.
        warm_up: u64,
        /// Steps after the last window.
        tail: u64,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUnits => f.write_str("a freezing plan needs at least one unit, got 0"),
            Self::NoSteps => f.write_str("a freezing plan needs at least one step, got 0"),
            Self::TooFewSteps {
                windows,
                steps,
                warm_up,
                tail,
            } => write!(
                f,
                "{steps} steps less {warm_up} of warm-up and {tail} of tail leave no step for each of {windows} windows"
            ),
        }
    }
}

impl core::error::Error for PlanError {}
