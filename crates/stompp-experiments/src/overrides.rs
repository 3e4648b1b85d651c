//! Changes of the configuration that a row makes besides network, images and method: schedule, learning rate, length, gradient of
//! weights, recipe, or any other field.

use crate::recipe::Recipe;
use std::fmt;
use std::sync::Arc;
use stompp_train::RunConfig;
use stompp_train::config::{Curve, RefreshRate, Surrogate, Time};

/// A change of the configuration that a setup starts from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Override {
    /// No change.
    #[default]
    None,
    /// The curve of the frozen fraction, and the refresh rate of masks.
    Schedule(Curve, RefreshRate),
    /// The learning rate.
    LearningRate(f64),
    /// A hundred evaluations during the training, on at most 1,000 test images.
    FrequentEvaluations,
    /// Training images and epochs.
    Length(Length),
    /// The straight-through gradient of weights, training images and epochs, and the batch size.
    WeightSurrogate {
        /// The straight-through gradient of weights.
        surrogate: Surrogate,
        /// Training images and epochs.
        length: Length,
        /// Images per step.
        batch_size: u16,
    },
    /// The training recipe, training images and epochs.
    Recipe(Recipe, Length),
    /// Training images and epochs. The run begins with the weights of a run of the same network in full precision, with the same
    /// training images, epochs and seed.
    Pretrained(Length),
    /// A change of your own.
    Custom(ConfigChange),
}

/// Training images and number of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Which training images.
    pub images: TrainingSet,
    /// Number of epochs.
    pub epochs: u16,
}

/// Training images and their augmentation, for experiments that compare lengths of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum TrainingSet {
    /// All of them, with crop and flip, in batches of at least 64.
    #[strum(to_string = "all images, crop and flip")]
    Full,
    /// At most 10,000, without augmentation.
    #[strum(to_string = "few images, no augmentation")]
    Few,
}

/// Batch size of [`TrainingSet::Full`], unless the setup's is larger.
const FULL_BATCH: usize = 64;

/// Number of training images of [`TrainingSet::Few`], unless the setup has fewer.
const FEW_IMAGES: usize = 10_000;

/// Number of test images with [`Override::FrequentEvaluations`], unless the setup has fewer.
const FEW_TEST_IMAGES: usize = 1_000;

impl TrainingSet {
    fn apply(self, config: &mut RunConfig) {
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

impl Length {
    /// All training images, for this number of epochs.
    pub const fn full(epochs: u16) -> Self {
        Self {
            images: TrainingSet::Full,
            epochs,
        }
    }

    /// Few training images, for this number of epochs.
    pub const fn few(epochs: u16) -> Self {
        Self {
            images: TrainingSet::Few,
            epochs,
        }
    }

    fn apply(self, config: &mut RunConfig) {
        self.images.apply(config);
        config.training.duration = Time::Epochs(self.epochs.into());
    }

    fn words(self) -> Vec<String> {
        let images = match self.images {
            TrainingSet::Full => "full",
            TrainingSet::Few => "few",
        };
        vec![images.to_owned(), format!("{}ep", self.epochs)]
    }
}

/// A change of any fields of a [`RunConfig`], with a word for names of runs and a title for readers.
#[derive(Clone)]
pub struct ConfigChange {
    word: String,
    title: String,
    change: Arc<dyn Fn(&mut RunConfig) + Send + Sync>,
}

impl fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfigChange").field(&self.word).finish()
    }
}

/// Two changes are equal if their words are equal, because names identify runs.
impl PartialEq for ConfigChange {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Override {
    /// Creates a change of your own. `word` is its part of a run's name, such as `m0.5`. `title` is its text in tables, such as
    /// `momentum 0.5`.
    ///
    /// A change of the data set or the seed has no effect, because the row and the run set them.
    ///
    /// ```
    /// use stompp_experiments::Override;
    ///
    /// let momentum = [0.5, 0.9].map(|momentum| {
    ///     Override::custom(&format!("m{momentum}"), &format!("momentum {momentum}"), move |config| {
    ///         config.training.momentum = momentum;
    ///     })
    /// });
    /// assert_ne!(momentum[0], momentum[1]);
    /// ```
    ///
    /// # Panics
    /// Panics if `word` is empty or has characters other than letters, digits, dots and underscores: it is part of a folder's name.
    pub fn custom(word: &str, title: &str, change: impl Fn(&mut RunConfig) + Send + Sync + 'static) -> Self {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.' || letter == '_';
        assert!(
            !word.is_empty() && word.chars().all(plain),
            "`{word}` cannot be part of a run's name: expected letters, digits, dots and underscores"
        );
        Self::Custom(ConfigChange {
            word: word.to_owned(),
            title: title.to_owned(),
            change: Arc::new(change),
        })
    }

    /// Writes the change into a configuration.
    pub(crate) fn apply(&self, config: &mut RunConfig) {
        match self {
            Self::None => {}
            Self::Schedule(curve, refresh) => {
                config.method.curve = *curve;
                config.method.refresh = *refresh;
            }
            Self::LearningRate(rate) => config.training.learning_rate = *rate,
            Self::FrequentEvaluations => {
                config.training.evaluate_every = Time::Share(1.0);
                let limit = config.data.test_limit.unwrap_or(FEW_TEST_IMAGES);
                config.data.test_limit = Some(limit.min(FEW_TEST_IMAGES));
            }
            Self::Length(length) | Self::Pretrained(length) => length.apply(config),
            Self::WeightSurrogate {
                surrogate,
                length,
                batch_size,
            } => {
                length.apply(config);
                config.method.weight_surrogate = *surrogate;
                config.training.batch_size = (*batch_size).into();
            }
            Self::Recipe(recipe, length) => {
                length.apply(config);
                recipe.apply(&mut config.training);
            }
            Self::Custom(custom) => (custom.change)(config),
        }
    }

    /// The words that this change adds to a run's name.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Schedule(curve, refresh) => vec![curve.to_string(), format!("r{refresh}")],
            Self::LearningRate(rate) => vec![format!("lr{rate}")],
            Self::FrequentEvaluations => vec!["traced".to_owned()],
            Self::Length(length) => length.words(),
            Self::WeightSurrogate {
                surrogate,
                length,
                batch_size,
            } => {
                let mut words = length.words();
                words.extend([format!("b{batch_size}"), format!("w{surrogate}")]);
                words
            }
            Self::Recipe(recipe, length) => {
                let mut words = length.words();
                words.push(recipe.word().to_owned());
                words
            }
            Self::Pretrained(length) => {
                let mut words = length.words();
                words.push("pretrained".to_owned());
                words
            }
            Self::Custom(custom) => vec![custom.word.clone()],
        }
    }
}

/// The text in tables; empty for overrides that tables do not show.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None | Self::FrequentEvaluations => Ok(()),
            Self::Schedule(curve, refresh) => write!(f, "{curve}, r = {refresh}"),
            Self::LearningRate(rate) => write!(f, "learning rate {rate}"),
            Self::WeightSurrogate {
                surrogate, batch_size, ..
            } => write!(f, "{surrogate} on weights, batches of {batch_size}"),
            Self::Recipe(recipe, _) => f.write_str(recipe.title()),
            Self::Length(Length { images, epochs }) => match images {
                TrainingSet::Full => write!(f, "{epochs} epochs"),
                TrainingSet::Few => write!(f, "{epochs} epochs of few images"),
            },
            Self::Pretrained(_) => f.write_str("from a float network"),
            Self::Custom(custom) => f.write_str(&custom.title),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_sets_images_augmentation_and_epochs() {
        let configured = |length: Length, base: &RunConfig| {
            let mut config = base.clone();
            Override::Length(length).apply(&mut config);
            let (data, training) = (config.data, config.training);
            (data.train_limit, data.augment, training.batch_size, training.duration)
        };
        let mut small = RunConfig::default();
        (small.data.train_limit, small.data.augment, small.training.batch_size) = (Some(5_000), false, 32);
        assert_eq!(configured(Length::full(3), &small), (None, true, 64, Time::Epochs(3.0)));
        assert_eq!(
            configured(Length::few(60), &small),
            (Some(5_000), false, 32, Time::Epochs(60.0))
        );
        let large = RunConfig::default();
        assert_eq!(
            configured(Length::full(50), &large),
            (None, true, 256, Time::Epochs(50.0))
        );
        assert_eq!(
            configured(Length::few(50), &large),
            (Some(10_000), false, 256, Time::Epochs(50.0))
        );
    }

    #[test]
    fn a_change_of_your_own_is_applied_and_named() {
        let change = Override::custom("m0.5", "momentum 0.5", |config| config.training.momentum = 0.5);
        let mut config = RunConfig::default();
        change.apply(&mut config);
        assert_eq!(config.training.momentum, 0.5);
        assert_eq!(
            (change.words(), change.to_string()),
            (vec!["m0.5".to_owned()], "momentum 0.5".to_owned())
        );
    }

    #[test]
    #[should_panic(expected = "cannot be part of a run's name")]
    fn a_word_that_is_a_path_is_refused() {
        Override::custom("../x", "x", |_| {});
    }
}
