//! Common training recipes, each as one change of the paper's recipe.

use stompp_train::config::{OptimizerName, RateSchedule, Time, TrainingConfig};
use strum::{EnumMessage, VariantArray};

/// A change of the paper's recipe, which is SGD with momentum 0.9 at a constant learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumMessage, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Recipe {
    /// The learning rate falls to 0 along half a cosine.
    #[strum(message = "cosine")]
    Cosine,
    /// The learning rate is divided by 10 after half and after three quarters of the training.
    #[strum(message = "rate / 10 at 50 and 75 %")]
    Step,
    /// The learning rate rises during the first 5 % of the training.
    #[strum(message = "warm-up of 5 %")]
    WarmUp,
    /// Weight decay of 1e-4 on all parameters except latent weights.
    #[strum(serialize = "decay", message = "weight decay 1e-4")]
    WeightDecay,
    /// Weight decay of 1e-4 on all parameters, also on latent weights.
    #[strum(message = "weight decay 1e-4, latent weights too")]
    LatentDecay,
    /// Adam at a learning rate of 0.001.
    #[strum(message = "Adam, rate 0.001")]
    Adam,
    /// Adam at a learning rate of 0.001 that falls along half a cosine, which is common for binary networks.
    #[strum(message = "Adam, rate 0.001, cosine")]
    AdamCosine,
    /// Label smoothing of 0.1: a tenth of the target is spread evenly over all classes.
    #[strum(serialize = "smoothing", message = "label smoothing 0.1")]
    LabelSmoothing,
    /// Gradients are clipped to a norm of at most 1.
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

    /// The word of the recipe in the name of a run.
    pub(crate) fn word(self) -> &'static str {
        self.into()
    }

    /// The title of the recipe, for readers.
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
