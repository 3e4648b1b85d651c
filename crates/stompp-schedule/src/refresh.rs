//! Soft refresh: redraws a few entries per step, which it finds by geometric skips.

use crate::{Mask, Phase, RefreshRate, Schedule};
use rand_core::Rng;

/// The result of one refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Number of entries that were redrawn.
    pub redrawn: usize,
    /// Number of redrawn entries whose value changed.
    pub changed: usize,
}

impl Mask {
    /// Redraws each entry with probability `1/r`, independently, from Bernoulli(`p`); the others keep their value.
    ///
    /// The expected frozen fraction moves from `f` to `(1 - 1/r) f + p/r`. With `r = 1` every entry is redrawn.
    ///
    /// # Cost and arithmetic
    ///
    /// The time is proportional to the `n/r` redrawn entries, not to all `n` entries. The number `k` of entries between two
    /// redrawn ones is geometric: `P(k) = q^k / r` with `q = 1 - 1/r`. It is drawn by inverting its distribution:
    /// `k = floor(ln u / ln q)`, with `u` uniform on the multiples of 2⁻⁵³ in `(0, 1]`. `ln q` is computed as
    /// `ln_1p(-1/r)`, which loses no digits for large `r`. The result has the distribution of `n` separate draws: `p` and
    /// every probability `P(k < m)` are exact to within 2⁻⁵¹. This error comes from the resolution of `u` and the rounding of
    /// the logarithms. A skip past the end ends the refresh; it cannot overflow, however long it is.
    ///
    /// Each redrawn entry consumes two 64-bit words of `rng`, and the last skip consumes one. Logarithms are computed in
    /// software, so the same stream gives the same mask on every platform.
    ///
    /// Source: *paper* for soft refresh. Drawing an entry from Bernoulli(`p`) independently of its old value is *ours*.
    ///
    /// # Panics
    ///
    /// If `p` is not in `[0, 1]`, or if `r` is not finite or is below 1. [`Plan`](crate::Plan) and
    /// [`RefreshRate`](crate::RefreshRate) always give valid values.
    pub fn refresh<R: Rng + ?Sized>(&mut self, p: f64, r: f64, rng: &mut R) -> Refreshed {
        assert!((0.0..=1.0).contains(&p), "p must be in [0, 1], got {p}");
        assert!(r.is_finite() && r >= 1.0, "r must be finite and at least 1, got {r}");
        let ln_q = libm::log1p(-1.0 / r);
        let mut done = Refreshed::default();
        let mut index = 0;
        loop {
            // The conversion saturates: a float that is too large becomes the largest integer.
            let skip = (libm::log(1.0 - uniform(rng)) / ln_q) as u64;
            if skip >= (self.len() - index) as u64 {
                return done;
            }
            index += skip as usize;
            done.redrawn += 1;
            done.changed += usize::from(self.set(index, uniform(rng) < p));
            index += 1;
        }
    }
}

impl Mask {
    /// Updates the mask of `unit` for optimizer step `step` of `schedule`: all open before the unit's window, refreshed once inside it,
    /// all frozen after it. Call it once before each step, in order.
    ///
    /// ```
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    /// use stompp_schedule::{Mask, Plan, PlanSpec, RefreshRate};
    ///
    /// let plan = Plan::new(PlanSpec::new(2, 100))?;
    /// let rate = RefreshRate::from_window_fraction(0.1)?;
    /// let mut rng = ChaCha8Rng::seed_from_u64(0);
    /// let mut masks = [Mask::new(1000), Mask::new(500)];
    /// for step in 0..=100 {
    ///     for (unit, mask) in masks.iter_mut().enumerate() {
    ///         mask.advance(&plan, step, unit, rate, &mut rng);
    ///     }
    /// }
    /// assert!(masks.iter().all(|mask| mask.fraction() == 1.0));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the schedule has no such `unit`, or gives a fraction outside `[0, 1]`.
    pub fn advance<R: Rng + ?Sized>(
        &mut self,
        schedule: &(impl Schedule + ?Sized),
        step: u64,
        unit: usize,
        rate: RefreshRate,
        rng: &mut R,
    ) -> Refreshed {
        match schedule.phase(step, unit) {
            Phase::Open => self.fill(false),
            Phase::Committed => self.fill(true),
            Phase::Freezing { p } => return self.refresh(p, rate.resolve(schedule.window(unit)), rng),
        }
        Refreshed::default()
    }
}

/// Uniform on the multiples of 2⁻⁵³ in `[0, 1)`.
fn uniform<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}
