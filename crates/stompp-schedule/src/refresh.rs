//! Soft refresh: a few entries redrawn per step, found by geometric skips.

use crate::{Mask, Phase, RefreshRate, Schedule};
use rand_core::Rng;

/// What one refresh did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Entries that were drawn anew.
    pub redrawn: usize,
    /// Entries among them that have another value than before.
    pub changed: usize,
}

impl Mask {
    /// Redraws each entry with probability `1/r`, independently, from Bernoulli(`p`); the others keep their value.
    ///
    /// So the expected frozen fraction moves from `f` to `(1 - 1/r) f + p/r`. With `r = 1` every entry is redrawn.
    ///
    /// # Cost and arithmetic
    ///
    /// It takes time in proportion to the `n/r` entries that are redrawn, not to the `n` that there are. Between two
    /// redrawn entries lie `k` that are not, where `k` is geometric: `P(k) = q^k / r` with `q = 1 - 1/r`. It is drawn by
    /// inverting its distribution, `k = floor(ln u / ln q)` with `u` uniform on the multiples of 2⁻⁵³ in `(0, 1]`, and
    /// `ln q` by `ln_1p(-1/r)`, which loses no digits for large `r`. That is the distribution of `n` separate draws: `p` and
    /// every probability `P(k < m)` are met to within 2⁻⁵¹, which is the resolution of the uniform and the rounding of
    /// the logarithms. A skip past the end of any length ends the refresh; it cannot overflow.
    ///
    /// Two words are taken from `rng` for each redrawn entry and one for the last skip. Logarithms are computed in
    /// software, so the same stream gives the same mask on every platform.
    ///
    /// Source: soft refresh *paper*; that an entry is drawn from Bernoulli(`p`) independently of its value is *ours*.
    ///
    /// # Panics
    ///
    /// If `p` is not in `[0, 1]`, or `r` not a finite number of at least 1. [`Plan`](crate::Plan) and
    /// [`RefreshRate`](crate::RefreshRate) give no others.
    pub fn refresh<R: Rng + ?Sized>(&mut self, p: f64, r: f64, rng: &mut R) -> Refreshed {
        assert!((0.0..=1.0).contains(&p), "p must be in [0, 1], got {p}");
        assert!(r.is_finite() && r >= 1.0, "r must be finite and at least 1, got {r}");
        let ln_q = libm::log1p(-1.0 / r);
        let mut done = Refreshed::default();
        let mut index = 0;
        loop {
            // A float that is too large for the integer becomes its largest value.
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
    /// Brings the mask of `unit` into the state that `schedule` says for optimizer step `step`: all open before the unit's window,
    /// refreshed once inside it, all frozen after it. Call it once before each step, in order.
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
    /// If the schedule has no such unit, or gives fractions outside of `[0, 1]`.
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
