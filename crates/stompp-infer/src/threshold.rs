//! Converts batch norm and sign to one integer comparison.

/// The batch norm of one channel in evaluation: `fma(x - mean, factor, shift)`, where `factor` is
/// `1 / sqrt(variance + eps) * scale`. The trainer uses the same operations in the same order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) mean: f32,
    pub(crate) factor: f32,
    pub(crate) shift: f32,
}

impl Affine {
    /// Added to the variance, as in the trainer.
    const EPS: f32 = 1e-5;

    pub(crate) fn new(mean: f32, variance: f32, scale: f32, shift: f32) -> Self {
        let inv_std = 1.0 / libm::sqrtf(variance + Self::EPS);
        Self {
            mean,
            factor: inv_std * scale,
            shift,
        }
    }

    pub(crate) fn apply(&self, x: f32) -> f32 {
        libm::fmaf(x - self.mean, self.factor, self.shift)
    }

    /// Whether the parameters and `x - mean` are finite for every input `x` between `-reach` and `reach`.
    pub(crate) fn is_defined(&self, reach: f32) -> bool {
        [-reach, reach].iter().all(|x| (x - self.mean).is_finite()) && self.factor.is_finite() && self.shift.is_finite()
    }
}

/// Returns the smallest integer from `-entries` to `entries` at which `value` is not negative, or `entries + 1` if `value` is always
/// negative.
///
/// `value` must not decrease. Every operation of a batch norm is monotone in `f32`, even with rounding, so the search is exact.
pub(crate) fn threshold(entries: i32, value: impl Fn(i32) -> f32) -> i32 {
    let (mut low, mut high) = (-entries, entries + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if value(middle) >= 0.0 {
            high = middle
        } else {
            low = middle + 1
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks every integer, with positive, negative and zero scales.
    #[test]
    fn the_threshold_separates_the_signs_of_every_sum() {
        let parameters = [-3.0, -1e-3, -0.0, 0.0, 1e-30, 0.4, 2.0, 1e30];
        let count = parameters.len();
        for number in 0..count.pow(3) {
            let pick = |place: usize| parameters[number / count.pow(place as u32) % count];
            let (mean, scale, shift) = (pick(0), pick(1), pick(2));
            let affine = Affine::new(mean, 0.5, scale, shift);
            let sign = if affine.factor < 0.0 { -1 } else { 1 };
            for residual in [0.0, -1.0, 1.0] {
                let value = |sum: i32| affine.apply((sign * sum) as f32) + residual;
                let t = threshold(27, value);
                for sum in -27..=27 {
                    assert_eq!(value(sum) >= 0.0, sum >= t, "{affine:?} {residual} {sum} {t}");
                }
            }
        }
    }
}
