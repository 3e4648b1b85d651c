//! Which parts of a network freeze, and which gradient frozen entries get.

use crate::{Activation, MaskedQuantizer, Surrogate};
use stompp_graph::{ActivationRule, Shape};

/// Which entries of an activation freeze together. The images of a batch always share one mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Granularity {
    /// Each of its C * H * W entries freezes by itself.
    #[default]
    Entry,
    /// All H * W entries of a channel freeze together.
    Channel,
}

impl Granularity {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Entry, Self::Channel];

    /// The name in configurations.
    // Written by hand: `strum` would not be shorter for two names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Channel => "channel",
        }
    }
}

/// Which parts of a network freeze, and which gradient frozen entries get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binarization {
    /// The function of the network's activations.
    pub activations: ActivationRule,
    /// Which entries of an activation freeze together.
    pub granularity: Granularity,
    /// Gradient rule of frozen activation entries.
    pub activation_surrogate: Surrogate,
    /// Gradient rule of frozen weight entries.
    pub weight_surrogate: Surrogate,
}

impl Binarization {
    /// Weights and activations freeze, without straight-through estimators (*paper*).
    pub const BNN: Self = Self {
        activations: ActivationRule::Quantized,
        granularity: Granularity::Entry,
        activation_surrogate: Surrogate::Blocked,
        weight_surrogate: Surrogate::Blocked,
    };

    /// Only weights freeze, without straight-through estimators (*paper*).
    pub const BWN: Self = Self {
        activations: ActivationRule::Relu,
        ..Self::BNN
    };

    /// Creates the activation of this rule for values of `shape`.
    pub(crate) fn activation(&self, rule: ActivationRule, shape: Shape) -> Activation {
        let [channels, height, width] = shape;
        let group = match self.granularity {
            Granularity::Entry => 1,
            Granularity::Channel => height * width,
        };
        let quantizer = || MaskedQuantizer::new(channels * height * width, self.activation_surrogate).with_group(group);
        match rule {
            ActivationRule::Quantized => Activation::Quantized(quantizer()),
            ActivationRule::Clip => Activation::Clip(quantizer()),
            ActivationRule::Relu => Activation::Relu,
        }
    }
}
