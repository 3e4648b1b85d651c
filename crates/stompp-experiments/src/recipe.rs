//! Training recipes that the field uses, each as one change of the paper's.

use stompp_train::config::{OptimizerName, RateSchedule, Time, TrainingConfig};
use strum::{EnumMessage, VariantArray};

/// A change of the paper's recipe, which is SGD with momentum 0.9 at a constant learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumMessage, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Recipe {
    /// The learning rate falls to 0 along half a cosine.
    #[strum(message = "cosine")]
    Cosine,
    /// The learning rate is divided by 10 after half and three quarters.
    #[strum(message = "rate / 10 at 50 and 75 %")]
    Step,
    /// The learning rate rises during the first 5 %.
    #[strum(message = "warm-up of 5 %")]
    WarmUp,
    /// A penalty of 1e-4 on all parameters but latent weights.
    #[strum(serialize = "decay", message = "weight decay 1e-4")]
    WeightDecay,
    /// The same on latent weights, too.
    #[strum(message = "weight decay 1e-4, latent weights too")]
    LatentDecay,
    /// Adam at a learning rate of 0.001.
    #[strum(message = "Adam, rate 0.001")]
    Adam,
    /// Adam as the field trains binary networks: with a cosine.
    #[strum(message = "Adam, rate 0.001, cosine")]
    AdamCosine,
    /// A tenth of the target belongs to all classes equally.
    #[strum(serialize = "smoothing", message = "label smoothing 0.1")]
    LabelSmoothing,
    /// Gradients of a norm of at most 1.
    #[strum(message = "gradients clipped to norm 1")]
    Clipping,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Writes the change into a configuration.
    pub(crate) fn apply(self, training: &mut TrainingConfig) {
        match self {
            Self::Cosine => training.learning_rate_schedule = RateSchedule::Cosine,
            Self::Step => training.learning_rate_schedule = RateSchedule::Step,
            Self::WarmUp => training.learning_rate_warm_up = Time::Share(5.0),
            Self::WeightDecay => training.weight_decay = 1e-4,
            Self::LatentDecay => {
                Self::WeightDecay.apply(training);
                training.decay_latent_weights = true;
            }
            Self::Adam => {
                training.optimizer = OptimizerName::Adam;
                training.learning_rate = 1e-3;
            }
            Self::AdamCosine => {
                Self::Adam.apply(training);
                Self::Cosine.apply(training);
            }
            Self::LabelSmoothing => training.label_smoothing = 0.1,
            Self::Clipping => training.clip_gradients = Some(1.0),
        }
    }

    /// The word for it in the name of a run.
    pub(crate) fn word(self) -> &'static str {
        self.into()
    }

    /// What it is, for readers.
    pub(crate) fn title(self) -> &'static str {
        self.get_message().expect("every recipe has a title")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_recipe_is_another_configuration_with_a_word_of_its_own() {
        let configured: Vec<_> = Recipe::ALL
            .iter()
            .map(|recipe| {
                let mut training = TrainingConfig::default();
                recipe.apply(&mut training);
                training
            })
            .collect();
        for (place, training) in configured.iter().enumerate() {
            assert_ne!(*training, TrainingConfig::default());
            assert!(!configured[..place].contains(training));
        }
        let words: HashSet<_> = Recipe::ALL.iter().map(|recipe| recipe.word()).collect();
        assert_eq!(words.len(), Recipe::ALL.len());
    }
}
