//! The trait of all schedules; [`Plan`] is the paper's.

use crate::{Phase, Plan};
use core::ops::Range;

/// Decides when each unit freezes. [`Plan`] is the paper's schedule; implement this trait for a curve or an order of your own.
///
/// A schedule is a pure function of the step, so there is nothing to save or to restore.
///
/// ```
/// use core::ops::Range;
/// use stompp_schedule::{Phase, Schedule};
///
/// /// Three units; each window begins in the middle of the one before. The fraction rises as a square root.
/// struct Overlapping;
///
/// impl Schedule for Overlapping {
///     fn units(&self) -> usize {
///         3
///     }
///     fn window(&self, unit: usize) -> Range<u64> {
///         let start = 50 * unit as u64;
///         start..start + 100
///     }
///     fn fraction(&self, _unit: usize, x: f64) -> f64 {
///         x.sqrt()
///     }
/// }
///
/// assert_eq!(Overlapping.phase(49, 1), Phase::Open);
/// assert_eq!(Overlapping.phase(75, 1), Phase::Freezing { p: 0.5 });
/// assert_eq!(Overlapping.phase(150, 1), Phase::Committed);
/// assert_eq!(Overlapping.last_unit(), 2);
/// ```
pub trait Schedule {
    /// Number of units that freeze; at least 1.
    fn units(&self) -> usize;

    /// The steps in which `unit` freezes. Not empty.
    fn window(&self, unit: usize) -> Range<u64>;

    /// The target fraction of `unit`, in `[0, 1]`. `x` is the share of its window that has passed: 0 at the first step, below 1 at
    /// the last.
    fn fraction(&self, unit: usize, x: f64) -> f64;

    /// The phase of `unit` during optimizer step `step`: open before its window, freezing in it, committed after it.
    fn phase(&self, step: u64, unit: usize) -> Phase {
        let window = self.window(unit);
        if step < window.start {
            Phase::Open
        } else if step < window.end {
            let x = (step - window.start) as f64 / (window.end - window.start) as f64;
            Phase::Freezing {
                p: self.fraction(unit, x),
            }
        } else {
            Phase::Committed
        }
    }

    /// The unit whose window ends last. If several end together, the one with the highest number.
    fn last_unit(&self) -> usize {
        (0..self.units()).max_by_key(|unit| self.window(*unit).end).unwrap_or(0)
    }
}

impl Schedule for Plan {
    fn units(&self) -> usize {
        self.spec().units
    }

    fn window(&self, unit: usize) -> Range<u64> {
        Plan::window(self, unit)
    }

    fn fraction(&self, _unit: usize, x: f64) -> f64 {
        self.spec().curve.fraction(x)
    }
}
