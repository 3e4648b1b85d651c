//! Rejects configurations that cannot be run, with an error that names the field. Other checks are in `data.rs`, `model.rs` and
//! `timeline.rs`.

use super::{
    ConfigError, Device, Method, ReductionOrder, RunConfig, Setting, Time,
    options::{self, ValueType},
};
use std::path::Path;
use stompp_binarize::{ActivationRule, Binarization, Surrogate};
use stompp_nn::Slices;

impl RunConfig {
    /// Checks everything that can be checked without the images.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] for the first field with a value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.data.check()?;
        if self.device.name == Device::Cuda && cfg!(not(feature = "cuda")) {
            let problem = "cuda: this program was built without CUDA (feature `cuda`, see docs/cuda.md)";
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
            let problem = "training.continue_from already sets every weight; use only one of them".to_owned();
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
        self.check_slices()?;
        if !ActivationRule::CONTINUOUS.contains(&self.network.activation) {
            return Err(not_a_choice("network.activation", self.network.activation.name()));
        }
        let surrogates = [
            ("method.activation_surrogate", self.method.activation_surrogate),
            ("method.weight_surrogate", self.method.weight_surrogate),
        ];
        for (name, surrogate) in surrogates {
            if !Surrogate::STRAIGHT_THROUGH.contains(&surrogate) {
                return Err(not_a_choice(name, surrogate.name()));
            }
        }
        if let (None, Some(width)) = (self.architecture()?, self.network.width) {
            let problem = format!("{width}: a network from a file sets its own widths");
            return Err(field("network.width", problem));
        }
        Ok(())
    }

    fn check_slices(&self) -> Result<(), ConfigError> {
        let Some(slices) = self.processes.slices else {
            return Ok(());
        };
        let problem = if Slices::new(slices).is_none() {
            "expected a power of two, such as 4".to_owned()
        } else if slices > self.training.batch_size {
            format!(
                "a batch has only {} images (training.batch_size)",
                self.training.batch_size
            )
        } else if slices > 1 && self.processes.reduction == ReductionOrder::Fast {
            "processes.reduction `fast` has no slices".to_owned()
        } else {
            return Ok(());
        };
        Err(field("processes.slices", format!("{slices}: {problem}")))
    }

    /// The binarization of the network: which tensors freeze, and the gradients of frozen entries.
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

/// Rejects a path that TOML cannot represent.
pub(super) fn utf8(name: &'static str, path: Option<&Path>) -> Result<(), ConfigError> {
    match path {
        Some(path) if path.to_str().is_none() => {
            let problem = format!("{}: expected a path in UTF-8, which TOML requires", path.display());
            Err(field(name, problem))
        }
        _ => Ok(()),
    }
}

/// The error for a name that the field's type has but the option does not accept.
fn not_a_choice(name: &'static str, given: &str) -> ConfigError {
    let known = match options::by_field(name).map(|option| option.value) {
        Some(ValueType::Choice(names)) => names().join(", "),
        _ => unreachable!("{name} is a choice"),
    };
    field(name, format!("{given}: expected one of: {known}"))
}

/// The error for a field with a value that cannot be used.
pub(super) fn field(field: &'static str, problem: String) -> ConfigError {
    debug_assert!(options::by_field(field).is_some(), "no option sets {field}");
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

    /// Sets the data set to `folder`.
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
