//! Training recipes that the field uses, each as one change of the paper's.

use std::fmt;
use stompp_train::config::{OptimizerName, RateSchedule, Time, TrainingConfig};

/// A change of the paper's recipe, which is SGD with momentum 0.9 at a constant learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// The learning rate falls to 0 along half a cosine.
    Cosine,
    /// The learning rate is divided by 10 after half and three quarters.
    Step,
    /// The learning rate rises during the first 5 %.
    WarmUp,
    /// A penalty of 1e-4 on all parameters but latent weights.
    WeightDecay,
    /// The same on latent weights, too.
    LatentDecay,
    /// Adam at a learning rate of 0.001.
    Adam,
    /// Adam as the field trains binary networks: with a cosine.
    AdamCosine,
    /// A tenth of the target belongs to all classes equally.
    LabelSmoothing,
    /// Gradients of a norm of at most 1.
    Clipping,
}

impl Recipe {
    pub(crate) const ALL: [Self; 9] = [
        Self::Cosine,
        Self::Step,
        Self::WarmUp,
        Self::WeightDecay,
        Self::LatentDecay,
        Self::Adam,
        Self::AdamCosine,
        Self::LabelSmoothing,
        Self::Clipping,
    ];

    /// Writes the change into a configuration.
    pub(crate) fn configure(self, training: &mut TrainingConfig) {
        match self {
            Self::Cosine => training.learning_rate_schedule = RateSchedule::Cosine,
            Self::Step => training.learning_rate_schedule = RateSchedule::Step,
            Self::WarmUp => training.learning_rate_warm_up = Time::Share(5.0),
            Self::WeightDecay => training.weight_decay = 1e-4,
            Self::LatentDecay => {
                Self::WeightDecay.configure(training);
                training.decay_latent_weights = true;
            }
            Self::Adam => {
                training.optimizer = OptimizerName::Adam;
                training.learning_rate = 1e-3;
            }
            Self::AdamCosine => {
                Self::Adam.configure(training);
                Self::Cosine.configure(training);
            }
            Self::LabelSmoothing => training.label_smoothing = 0.1,
            Self::Clipping => training.clip_gradients = Some(1.0),
        }
    }

    /// The word for it in the name of a run.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Step => "step",
            Self::WarmUp => "warmup",
            Self::WeightDecay => "decay",
            Self::LatentDecay => "latentdecay",
            Self::Adam => "adam",
            Self::AdamCosine => "adamcosine",
            Self::LabelSmoothing => "smoothing",
            Self::Clipping => "clipping",
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cosine => "cosine",
            Self::Step => "rate / 10 at 50 and 75 %",
            Self::WarmUp => "warm-up of 5 %",
            Self::WeightDecay => "weight decay 1e-4",
            Self::LatentDecay => "weight decay 1e-4, latent weights too",
            Self::Adam => "Adam, rate 0.001",
            Self::AdamCosine => "Adam, rate 0.001, cosine",
            Self::LabelSmoothing => "label smoothing 0.1",
            Self::Clipping => "gradients clipped to norm 1",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_recipe_is_another_configuration_with_a_word_of_its_own() {
        let configured = Recipe::ALL.map(|recipe| {
            let mut training = TrainingConfig::default();
            recipe.configure(&mut training);
            training
        });
        for (place, training) in configured.iter().enumerate() {
            assert_ne!(*training, TrainingConfig::default());
            assert!(!configured[..place].contains(training));
        }
        let words: HashSet<_> = Recipe::ALL.into_iter().map(Recipe::word).collect();
        assert_eq!(words.len(), Recipe::ALL.len());
    }
}
