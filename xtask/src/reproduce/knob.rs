//! What an experiment turns, beside network and method: schedule, learning rate, length, gradient of weights, training recipe.

use super::recipe::Recipe;
use std::fmt;
use stompp_train::RunConfig;
use stompp_train::config::{Curve, RefreshRate, Surrogate, Time};

/// What an ablation turns, beside the procedure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Knob {
    /// Nothing: the preset's own values.
    #[default]
    Preset,
    /// How the frozen fraction rises, and how slowly masks follow.
    Schedule(Curve, RefreshRate),
    /// The learning rate.
    LearningRate(f64),
    /// A hundred evaluations along the training, on fewer images.
    Traced,
    /// Which training images, and how many epochs.
    Length(Regime, u16),
    /// The gradient of weights, which training images and how many epochs, and images a step.
    Gates {
        weights: Surrogate,
        length: (Regime, u16),
        batch: u16,
    },
    /// The training recipe, which training images and how many epochs.
    Recipe(Recipe, (Regime, u16)),
}

/// Training images and their augmentation, where an experiment compares lengths of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Regime {
    /// All of them, with crop and flip, in batches of at least [`FULL_BATCH`].
    Full,
    /// At most [`FEW_IMAGES`], without augmentation.
    Few,
}

/// Images a step of [`Regime::Full`], unless the preset has more.
const FULL_BATCH: usize = 64;

/// Training images of [`Regime::Few`], unless the preset has fewer.
const FEW_IMAGES: usize = 10_000;

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "all images, crop and flip",
            Self::Few => "few images, no augmentation",
        })
    }
}

impl Regime {
    fn configure(self, config: &mut RunConfig) {
        let (data, training) = (&mut config.data, &mut config.training);
        match self {
            Self::Full => {
                data.train_limit = None;
                data.augment = true;
                training.batch_size = training.batch_size.max(FULL_BATCH);
            }
            Self::Few => {
                data.train_limit = Some(data.train_limit.unwrap_or(FEW_IMAGES).min(FEW_IMAGES));
                data.augment = false;
            }
        }
    }
}

/// Test images of a traced run: its evaluations are many.
const TRACED_IMAGES: usize = 1_000;

impl Knob {
    /// Writes the knob into a configuration.
    pub(crate) fn configure(self, config: &mut RunConfig) {
        match self {
            Self::Preset => {}
            Self::Schedule(curve, refresh) => {
                config.method.curve = curve;
                config.method.refresh = refresh;
            }
            Self::LearningRate(rate) => config.training.learning_rate = rate,
            Self::Traced => {
                config.training.evaluate_every = Time::Share(1.0);
                config.data.test_limit = Some(config.data.test_limit.unwrap_or(TRACED_IMAGES).min(TRACED_IMAGES));
            }
            Self::Length(regime, epochs) => {
                regime.configure(config);
                config.training.duration = Time::Epochs(epochs.into());
            }
            Self::Gates { weights, length, batch } => {
                Self::Length(length.0, length.1).configure(config);
                config.method.weight_surrogate = weights;
                config.training.batch_size = batch.into();
            }
            Self::Recipe(recipe, length) => {
                Self::Length(length.0, length.1).configure(config);
                recipe.configure(&mut config.training);
            }
        }
    }

    /// The words that tell a run with this knob from the preset's own.
    pub(crate) fn words(self) -> Vec<String> {
        match self {
            Self::Preset => Vec::new(),
            Self::Schedule(curve, refresh) => vec![curve.to_string(), format!("r{refresh}")],
            Self::LearningRate(rate) => vec![format!("lr{rate}")],
            Self::Traced => vec!["traced".to_owned()],
            Self::Gates { weights, length, batch } => {
                let mut words = Self::Length(length.0, length.1).words();
                words.extend([format!("b{batch}"), format!("w{weights}")]);
                words
            }
            Self::Recipe(recipe, length) => {
                let mut words = Self::Length(length.0, length.1).words();
                words.push(recipe.word().to_owned());
                words
            }
            Self::Length(regime, epochs) => {
                let regime = match regime {
                    Regime::Full => "full",
                    Regime::Few => "few",
                };
                vec![regime.to_owned(), format!("{epochs}ep")]
            }
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preset | Self::Traced => Ok(()),
            Self::Schedule(curve, refresh) => write!(f, "{curve}, r = {refresh}"),
            Self::LearningRate(rate) => write!(f, "learning rate {rate}"),
            Self::Gates { weights, batch, .. } => write!(f, "{weights} on weights, batches of {batch}"),
            Self::Recipe(recipe, _) => write!(f, "{recipe}"),
            Self::Length(Regime::Full, epochs) => write!(f, "{epochs} epochs"),
            Self::Length(Regime::Few, epochs) => write!(f, "{epochs} epochs of few images"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_sets_images_augmentation_and_epochs() {
        let configured = |knob: Knob, base: &RunConfig| {
            let mut config = base.clone();
            knob.configure(&mut config);
            let (data, training) = (config.data, config.training);
            (data.train_limit, data.augment, training.batch_size, training.duration)
        };
        let mut small = RunConfig::default();
        (small.data.train_limit, small.data.augment, small.training.batch_size) = (Some(5_000), false, 32);
        assert_eq!(
            configured(Knob::Length(Regime::Full, 3), &small),
            (None, true, 64, Time::Epochs(3.0))
        );
        assert_eq!(
            configured(Knob::Length(Regime::Few, 60), &small),
            (Some(5_000), false, 32, Time::Epochs(60.0))
        );
        let large = RunConfig::default();
        assert_eq!(
            configured(Knob::Length(Regime::Full, 50), &large),
            (None, true, 256, Time::Epochs(50.0))
        );
        assert_eq!(
            configured(Knob::Length(Regime::Few, 50), &large),
            (Some(10_000), false, 256, Time::Epochs(50.0))
        );
    }
}
