//! Converts the times of a configuration to optimizer steps: epochs, evaluations, learning rates and the freezing plan.

use super::{ConfigError, RunConfig, Setting, Time, check::field};
use crate::learning_rate::LearningRates;
use stompp_data::Position;
use stompp_schedule::{Plan, PlanError, PlanSpec};

/// The length of a run in optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Steps of one epoch: full batches only.
    pub steps_per_epoch: u64,
    /// Steps of the whole training; at least 1.
    pub steps: u64,
    /// Steps between evaluations; at least 1.
    pub evaluate_every: u64,
    /// Position of the first step in the data order, in batches: 0, or the end of the run that this run continues.
    pub first_batch: u64,
}

impl Timeline {
    /// The position in the data of the batch that follows `step` steps.
    pub fn position(&self, step: u64) -> Position {
        let batch = self.first_batch + step;
        Position {
            epoch: batch / self.steps_per_epoch,
            batch: (batch % self.steps_per_epoch) as usize,
        }
    }
}

/// Limit on the number of steps. It keeps arithmetic on steps far from overflow.
const MOST_STEPS: u64 = 1 << 40;

impl RunConfig {
    /// The length of the run with `train_images` training images.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] if a batch needs more images than there are, if the training has no steps or too many, or if the
    /// time between evaluations is less than one step.
    pub fn timeline(&self, train_images: usize) -> Result<Timeline, ConfigError> {
        let training = &self.training;
        let steps_per_epoch = (train_images / training.batch_size) as u64;
        if steps_per_epoch == 0 {
            let problem = format!(
                "{}: expected at most the number of training images, {train_images}",
                training.batch_size
            );
            return Err(field("training.batch_size", problem));
        }
        let steps = training.duration.steps(steps_per_epoch, 0);
        if !(1..=MOST_STEPS).contains(&steps) {
            let problem = format!("{} is {steps} steps: expected 1 to {MOST_STEPS}", training.duration);
            return Err(field("training.duration", problem));
        }
        let evaluate_every = training.evaluate_every.steps(steps_per_epoch, steps);
        if evaluate_every == 0 {
            let problem = format!("{} is less than one step", training.evaluate_every);
            return Err(field("training.evaluate_every", problem));
        }
        Ok(Timeline {
            steps_per_epoch,
            steps,
            evaluate_every,
            first_batch: 0,
        })
    }

    /// The learning rate of each step.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] if the warm-up is not shorter than the training.
    pub(crate) fn learning_rates(&self, timeline: &Timeline) -> Result<LearningRates, ConfigError> {
        let training = &self.training;
        let warm_up = training
            .learning_rate_warm_up
            .steps(timeline.steps_per_epoch, timeline.steps);
        if warm_up >= timeline.steps {
            let problem = format!(
                "{} is {warm_up} steps: expected fewer than the {} steps of the training",
                training.learning_rate_warm_up, timeline.steps
            );
            return Err(field("training.learning_rate_warm_up", problem));
        }
        Ok(LearningRates {
            schedule: training.learning_rate_schedule,
            warm_up,
            steps: timeline.steps,
        })
    }

    /// The freezing plan for a network of `units` units; `None` if the method has none.
    ///
    /// # Errors
    /// Returns [`ConfigError::Field`] if the training is too short to give every unit a window.
    pub fn plan(&self, timeline: &Timeline, units: usize) -> Result<Option<Plan>, ConfigError> {
        let method = &self.method;
        if !method.name.has_plan() {
            return Ok(None);
        }
        let steps = |time: Time| time.steps(timeline.steps_per_epoch, timeline.steps);
        let spec = PlanSpec {
            warm_up: steps(method.warm_up),
            tail: steps(method.tail),
            curve: method.curve,
            order: method.order,
            ..PlanSpec::new(
                method.freeze_unit.count(units, self.network.setting == Setting::Bnn),
                timeline.steps,
            )
        };
        let too_short = |error: PlanError| {
            let (duration, batch) = (self.training.duration, self.training.batch_size);
            let each = timeline.steps_per_epoch;
            field(
                "training.duration",
                format!("{duration} (batches of {batch}, {each} an epoch): {error}"),
            )
        };
        Plan::new(spec).map(Some).map_err(too_short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;

    #[test]
    fn an_epoch_is_full_batches_only() {
        let mut config = RunConfig::default();
        config.training.batch_size = 16;
        config.training.duration = Time::Epochs(3.0);
        let timeline = config.timeline(1003).unwrap();
        assert_eq!(
            timeline,
            Timeline {
                steps_per_epoch: 62,
                steps: 186,
                evaluate_every: 62,
                first_batch: 0
            }
        );
        let error = config.timeline(15).unwrap_err().to_string();
        assert_eq!(
            error,
            "training.batch_size: 16: expected at most the number of training images, 15"
        );
        for duration in [Time::Steps(0), Time::Epochs(1e300)] {
            config.training.duration = duration;
            assert!(
                config
                    .timeline(1003)
                    .unwrap_err()
                    .to_string()
                    .starts_with("training.duration: ")
            );
        }
        config.training.duration = Time::Steps(10);
        config.training.evaluate_every = Time::Share(1.0);
        assert!(
            config
                .timeline(1003)
                .unwrap_err()
                .to_string()
                .starts_with("training.evaluate_every: 1%")
        );
    }

    #[test]
    fn a_warm_up_leaves_steps_for_the_rest() {
        let mut config = RunConfig::default();
        config.training.duration = Time::Steps(100);
        config.training.learning_rate_warm_up = Time::Share(10.0);
        let timeline = config.timeline(1000).unwrap();
        assert_eq!(config.learning_rates(&timeline).unwrap().warm_up, 10);
        config.training.learning_rate_warm_up = Time::Steps(100);
        let refused = config.learning_rates(&timeline).unwrap_err().to_string();
        assert!(
            refused.starts_with("training.learning_rate_warm_up: 100ba is 100 steps"),
            "{refused}"
        );
    }

    #[test]
    fn only_freezing_methods_have_a_plan() {
        let mut config = RunConfig::default();
        config.training.duration = Time::Steps(100);
        let timeline = config.timeline(1000).unwrap();
        let plan = config.plan(&timeline, 18).unwrap().expect("stompp has a plan");
        assert_eq!((plan.spec().tail, plan.window(17).end), (5, 95));
        // The message gives the reason for the number of steps: 1000 images make 3 batches of 256.
        assert_eq!(
            config.plan(&timeline, 96).unwrap_err().to_string(),
            "training.duration: 100ba (batches of 256, 3 an epoch): 100 steps less 0 of warm-up and 5 of tail leave no step for \
             each of 96 windows"
        );
        config.method.name = Method::Ste;
        assert_eq!(config.plan(&timeline, 96).unwrap(), None);
    }
}
