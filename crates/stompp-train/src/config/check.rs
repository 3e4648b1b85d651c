//! From what was written to what is run: network, plan and lengths, or the field that forbids them.

use super::{ConfigError, Device, Method, RunConfig, Setting, Time};
use crate::learning_rate::LearningRates;
use std::path::Path;
use stompp_binarize::{ActivationRule, Binarization, Surrogate};
use stompp_data::Position;
use stompp_schedule::{Plan, PlanError, PlanSpec};

/// A run's length in optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Steps of one epoch: full batches only.
    pub steps_per_epoch: u64,
    /// Steps of the whole training; at least 1.
    pub steps: u64,
    /// Steps between evaluations; at least 1.
    pub evaluate_every: u64,
    /// Batches of the order of the data that came before the first step: those of the run that this one continues.
    pub first_batch: u64,
}

impl Timeline {
    /// Where the batch after `step` steps stands.
    pub fn position(&self, step: u64) -> Position {
        let batch = self.first_batch + step;
        Position {
            epoch: batch / self.steps_per_epoch,
            batch: (batch % self.steps_per_epoch) as usize,
        }
    }
}

/// More steps than any training has; keeps arithmetic on steps far from overflow.
const MOST_STEPS: u64 = 1 << 40;

impl RunConfig {
    /// Refuses values that no data set could make right.
    ///
    /// # Errors
    /// Names the first field that is at fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.data.check()?;
        if self.device.name == Device::Cuda && cfg!(not(feature = "cuda")) {
            let problem = "cuda: this program was built without it (feature `cuda`, see docs/cuda.md)";
            return Err(field("device.name", problem.to_owned()));
        }
        toml_integer("seed", self.seed)?;
        let training = &self.training;
        at_least_1("training.batch_size", Some(training.batch_size))?;
        let rate = training.learning_rate;
        if !((rate as f32).is_finite() && rate as f32 > 0.0) {
            return Err(field(
                "training.learning_rate",
                format!("{rate}: expected a number above 0 that a 32-bit float holds"),
            ));
        }
        if training.init_from.is_some() && training.continue_from.is_some() {
            let problem = "training.continue_from gives every weight a value already".to_owned();
            return Err(field("training.init_from", problem));
        }
        utf8("training.init_from", training.init_from.as_deref())?;
        utf8("training.continue_from", training.continue_from.as_deref())?;
        let momentum = training.momentum;
        if !(0.0..1.0).contains(&momentum) {
            return Err(field(
                "training.momentum",
                format!("{momentum}: expected 0 or more, less than 1"),
            ));
        }
        let (decay, smoothing) = (training.weight_decay, training.label_smoothing);
        if !((decay as f32).is_finite() && decay >= 0.0) {
            return Err(field(
                "training.weight_decay",
                format!("{decay}: expected 0 or more, and a number that a 32-bit float holds"),
            ));
        }
        if training.decay_latent_weights && decay == 0.0 {
            let problem = "there is no weight decay (training.weight_decay is 0)".to_owned();
            return Err(field("training.decay_latent_weights", problem));
        }
        if !(0.0..1.0).contains(&smoothing) {
            return Err(field(
                "training.label_smoothing",
                format!("{smoothing}: expected 0 or more, less than 1"),
            ));
        }
        if let Some(largest) = training.clip_gradients
            && !(largest.is_finite() && largest > 0.0)
        {
            return Err(field(
                "training.clip_gradients",
                format!("{largest}: expected a number above 0"),
            ));
        }
        if let Time::Share(_) = training.duration {
            let problem = format!(
                "{}: expected epochs, as in `20ep`, or steps, as in `4000ba`",
                training.duration
            );
            return Err(field("training.duration", problem));
        }
        if !ActivationRule::CONTINUOUS.contains(&self.network.activation) {
            return Err(field(
                "network.activation",
                not_one_of(self.network.activation.name(), "relu, clip"),
            ));
        }
        let surrogates = [
            ("method.activation_surrogate", self.method.activation_surrogate),
            ("method.weight_surrogate", self.method.weight_surrogate),
        ];
        for (name, surrogate) in surrogates {
            if !Surrogate::STRAIGHT_THROUGH.contains(&surrogate) {
                return Err(field(name, not_one_of(surrogate.name(), "identity, clipped")));
            }
        }
        if let (None, Some(width)) = (self.architecture()?, self.network.width) {
            let problem = format!("{width}: a network from a file has its own widths");
            return Err(field("network.width", problem));
        }
        Ok(())
    }

    /// What of the network freezes, and the gradient of what is frozen.
    pub fn binarization(&self) -> Binarization {
        let method = &self.method;
        let surrogate = |straight_through| match method.name {
            Method::Float | Method::Stompp => Surrogate::Blocked,
            Method::Ste | Method::StomppSte => straight_through,
        };
        Binarization {
            activations: match self.network.setting {
                Setting::Bnn => ActivationRule::Quantized,
                Setting::Bwn => self.network.activation,
            },
            granularity: method.activation_mask,
            activation_surrogate: surrogate(method.activation_surrogate),
            weight_surrogate: surrogate(method.weight_surrogate),
        }
    }

    /// The run's length with `train_images` images to train on.
    ///
    /// # Errors
    /// If not even one batch can be filled, or the length is no steps, or absurdly many.
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
    /// If its warm-up is as long as the whole training, or longer.
    pub(crate) fn learning_rates(&self, timeline: &Timeline) -> Result<LearningRates, ConfigError> {
        let training = &self.training;
        let warm_up = training
            .learning_rate_warm_up
            .steps(timeline.steps_per_epoch, timeline.steps);
        if warm_up >= timeline.steps {
            let problem = format!(
                "{} is {warm_up} steps: expected less than the training has, {}",
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
    /// If the training is too short to give every unit a window.
    pub fn plan(&self, timeline: &Timeline, units: usize) -> Result<Option<Plan>, ConfigError> {
        let method = &self.method;
        if !method.name.freezes() {
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

pub(super) fn at_least_1(name: &'static str, number: Option<usize>) -> Result<(), ConfigError> {
    match number {
        Some(0) => Err(field(name, "0: expected at least 1".to_owned())),
        _ => Ok(()),
    }
}

pub(super) fn toml_integer(name: &'static str, number: u64) -> Result<(), ConfigError> {
    if number > i64::MAX as u64 {
        let problem = format!("{number}: expected at most {}, the largest integer of TOML", i64::MAX);
        return Err(field(name, problem));
    }
    Ok(())
}

/// Refuses a path that TOML cannot hold.
pub(super) fn utf8(name: &'static str, path: Option<&Path>) -> Result<(), ConfigError> {
    match path {
        Some(path) if path.to_str().is_none() => {
            let problem = format!("{}: expected a path in UTF-8, so that TOML can hold it", path.display());
            Err(field(name, problem))
        }
        _ => Ok(()),
    }
}

fn not_one_of(given: &str, known: &str) -> String {
    format!("{given}: expected one of: {known}")
}

pub(super) fn field(field: &'static str, problem: String) -> ConfigError {
    ConfigError::Field { field, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DataConfig, Dataset};
    use std::path::PathBuf;

    fn refused(change: impl FnOnce(&mut RunConfig)) -> String {
        let mut config = RunConfig::default();
        change(&mut config);
        config.check().expect_err("this must be refused").to_string()
    }

    /// Makes the data set a folder.
    fn folder(config: &mut RunConfig) -> &mut DataConfig {
        config.data.dataset = Dataset::Folder;
        config.data.path = Some(PathBuf::from("x"));
        &mut config.data
    }

    #[test]
    fn the_default_can_be_run() {
        let mut config = RunConfig::default();
        config.check().unwrap();
        *folder(&mut config) = DataConfig {
            classes: Some(7),
            color_jitter: 0.4,
            labels: Some(PathBuf::from("y")),
            ..folder(&mut config).clone()
        };
        config.check().unwrap();
        assert_eq!(config.architecture().unwrap().unwrap().classes(), 7);
    }

    #[test]
    fn fields_at_fault_are_named() {
        let cases = [
            (refused(|c| c.training.batch_size = 0), "training.batch_size: 0"),
            (refused(|c| c.data.train_limit = Some(0)), "data.train_limit: 0"),
            (refused(|c| c.data.test_limit = Some(0)), "data.test_limit: 0"),
            (refused(|c| c.training.learning_rate = 0.0), "training.learning_rate: 0"),
            (
                refused(|c| c.training.learning_rate = 1e300),
                "training.learning_rate: 1000",
            ),
            (
                refused(|c| c.training.learning_rate = f64::NAN),
                "training.learning_rate: NaN",
            ),
            (refused(|c| c.training.momentum = 1.0), "training.momentum: 1"),
            (
                refused(|c| c.training.weight_decay = -1e-4),
                "training.weight_decay: -0.0001",
            ),
            (
                refused(|c| c.training.weight_decay = f64::NAN),
                "training.weight_decay: NaN",
            ),
            (
                refused(|c| c.training.decay_latent_weights = true),
                "training.decay_latent_weights: there is no weight decay",
            ),
            (
                refused(|c| c.training.label_smoothing = 1.0),
                "training.label_smoothing: 1",
            ),
            (
                refused(|c| c.training.clip_gradients = Some(0.0)),
                "training.clip_gradients: 0",
            ),
            (
                refused(|c| {
                    c.training.init_from = Some(PathBuf::from("x"));
                    c.training.continue_from = Some(PathBuf::from("y"));
                }),
                "training.init_from: training.continue_from",
            ),
            (
                refused(|c| c.training.duration = Time::Share(5.0)),
                "training.duration: 5%",
            ),
            (
                refused(|c| c.data.path = Some(PathBuf::from("x"))),
                "data.path: data set synthetic10",
            ),
            (
                refused(|c| c.data.train_limit = Some(usize::MAX)),
                "data.train_limit: 1844",
            ),
            (
                refused(|c| c.data.dataset = Dataset::Cifar100),
                "data.path: data set cifar100 needs",
            ),
            (refused(|c| c.seed = u64::MAX), "seed: 1844"),
            (refused(|c| c.data.split_seed = u64::MAX), "data.split_seed: 1844"),
            (refused(|c| c.data.holdout = Some(0)), "data.holdout: 0"),
            (
                refused(|c| c.data.classes = Some(10)),
                "data.classes: data set synthetic10",
            ),
            (
                refused(|c| c.data.labels = Some(PathBuf::from("x"))),
                "data.labels: data set synthetic10",
            ),
            (
                refused(|c| c.data.color_jitter = 0.4),
                "data.color_jitter: data set synthetic10",
            ),
            (refused(|c| folder(c).color_jitter = -0.1), "data.color_jitter: -0.1"),
            (refused(|c| folder(c).color_jitter = f64::NAN), "data.color_jitter: NaN"),
            (refused(|c| folder(c).classes = Some(1)), "data.classes: 1"),
            (
                refused(|c| folder(c).train_limit = Some(usize::MAX)),
                "data.train_limit: 1844",
            ),
            (refused(|c| folder(c).path = None), "data.path: data set folder needs"),
            (refused(|c| folder(c).image_size = 1 << 20), "data.image_size: 1048576"),
            (
                refused(|c| c.network.activation = ActivationRule::Quantized),
                "network.activation: quantized: expected one of: relu, clip",
            ),
            (
                refused(|c| c.method.weight_surrogate = Surrogate::Blocked),
                "method.weight_surrogate: blocked: expected one of: identity, clipped",
            ),
            (refused(|c| c.network.width = Some(0)), "width is 0"),
            (refused(|c| c.data.image_size = 1), "image size is 1"),
        ];
        for (message, expected) in cases {
            assert!(
                message.starts_with(expected),
                "{message:?} should start with {expected:?}"
            );
        }
    }

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
        // What decides how many steps there are is told: a batch of 256 leaves 3 of 1000 images.
        assert_eq!(
            config.plan(&timeline, 96).unwrap_err().to_string(),
            "training.duration: 100ba (batches of 256, 3 an epoch): 100 steps less 0 of warm-up and 5 of tail leave no step for \
             each of 96 windows"
        );
        config.method.name = Method::Ste;
        assert_eq!(config.plan(&timeline, 96).unwrap(), None);
    }

    #[test]
    fn surrogates_belong_to_the_methods_that_pass_gradient() {
        let mut config = RunConfig::default();
        assert_eq!(config.binarization(), Binarization::BNN);
        config.method.name = Method::StomppSte;
        assert_eq!(config.binarization().activation_surrogate, Surrogate::Clipped);
        assert_eq!(config.binarization().weight_surrogate, Surrogate::Identity);
        config.network.setting = Setting::Bwn;
        assert_eq!(config.binarization().activations, ActivationRule::Relu);
        config.data.dataset = Dataset::Cifar100;
        assert_eq!(config.architecture().unwrap().unwrap().classes(), 100);
    }
}
