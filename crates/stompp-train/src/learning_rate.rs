//! The learning rate of each step. It is a pure function of the step, so checkpoints need no state of the schedule.

use crate::config::RateSchedule;

/// The learning-rate schedule of a run, with its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LearningRates {
    /// The schedule after the warm-up.
    pub(crate) schedule: RateSchedule,
    /// Steps of the warm-up; less than `steps`.
    pub(crate) warm_up: u64,
    /// Steps of the whole training.
    pub(crate) steps: u64,
}

impl LearningRates {
    /// The factor of the learning rate in step `step`, counted from 0. It is in (0, 1], and exactly 1 where the rate is constant.
    ///
    /// The warm-up rises linearly and reaches 1 at its last step, as PyTorch's `LinearLR` from `1 / warm_up`. `Cosine` starts after the
    /// warm-up: its first step has the factor 1, and the step after the last would have 0. `Step` divides by 10 after half and three
    /// quarters of the whole training, including the warm-up.
    pub(crate) fn factor(&self, step: u64) -> f32 {
        let Self {
            schedule,
            warm_up,
            steps,
        } = *self;
        if step < warm_up {
            return (step + 1) as f32 / warm_up as f32;
        }
        match schedule {
            RateSchedule::Constant => 1.0,
            RateSchedule::Cosine => {
                let done = (step - warm_up) as f64 / (steps - warm_up) as f64;
                (0.5 * (1.0 + (std::f64::consts::PI * done).cos())) as f32
            }
            RateSchedule::Step if 4 * step >= 3 * steps => 0.01,
            RateSchedule::Step if 2 * step >= steps => 0.1,
            RateSchedule::Step => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: RateSchedule, warm_up: u64, steps: u64) -> Vec<f32> {
        let rates = LearningRates {
            schedule,
            warm_up,
            steps,
        };
        (0..steps).map(|step| rates.factor(step)).collect()
    }

    #[test]
    fn a_constant_rate_is_exactly_that() {
        assert_eq!(factors(RateSchedule::Constant, 0, 5), [1.0; 5]);
        assert_eq!(factors(RateSchedule::Constant, 4, 6), [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn steps_come_after_half_and_three_quarters() {
        let expected = [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01];
        assert_eq!(factors(RateSchedule::Step, 0, 8), expected);
    }

    /// Against values of `torch.optim.lr_scheduler.CosineAnnealingLR(T_max=4)`: 1, 0.8536, 0.5, 0.1464.
    #[test]
    fn cosine_is_pytorch_s() {
        let found = factors(RateSchedule::Cosine, 0, 4);
        for (found, expected) in found.iter().zip([1.0, 0.853_553_4, 0.5, 0.146_446_6]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let found = factors(RateSchedule::Cosine, 2, 6);
        assert_eq!(found[..3], [0.5, 1.0, 1.0]);
        assert!(found.iter().all(|factor| *factor > 0.0));
    }
}
