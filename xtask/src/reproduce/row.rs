//! What a line of a table is about: network, images, setting, method. Measured and published numbers meet here.

use std::fmt;
use stompp_train::config::{Dataset, Method, Model, Order, RunConfig, Setting, StraightThrough};

/// The images of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Images {
    /// A set that can be trained on.
    Set(Dataset),
    /// ImageNet, which no reader exists for yet.
    ImageNet,
}

impl Images {
    pub(crate) const CIFAR10: Self = Self::Set(Dataset::Cifar10);
    pub(crate) const CIFAR100: Self = Self::Set(Dataset::Cifar100);

    /// The name in results and of run directories.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Set(dataset) => dataset.name(),
            Self::ImageNet => "imagenet",
        }
    }

    /// The name in prose.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Set(Dataset::Synthetic10) => "synthetic, 10 classes",
            Self::Set(Dataset::Synthetic100) => "synthetic, 100 classes",
            Self::Set(Dataset::Cifar10) => "CIFAR-10",
            Self::Set(Dataset::Cifar100) => "CIFAR-100",
            Self::Set(Dataset::Cifar100Coarse) => "CIFAR-100, coarse labels",
            Self::Set(Dataset::Folder) => "image files",
            Self::ImageNet => "ImageNet",
        }
    }
}

/// How a network becomes binary, with the choices that the method has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Procedure {
    /// Binary throughout, with this gradient through activations.
    Ste(StraightThrough),
    /// Freezing in this order, no gradient through frozen entries.
    Stompp(Order),
    /// Freezing in this order, with this gradient through frozen activations.
    StomppSte(Order, StraightThrough),
}

impl Procedure {
    /// The method.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Ste(_) => Method::Ste,
            Self::Stompp(_) => Method::Stompp,
            Self::StomppSte(..) => Method::StomppSte,
        }
    }

    /// The order, if the method has one.
    pub(crate) fn order(self) -> Option<Order> {
        match self {
            Self::Stompp(order) | Self::StomppSte(order, _) => Some(order),
            Self::Ste(_) => None,
        }
    }

    /// The straight-through gradient of activations, if the method has one.
    pub(crate) fn surrogate(self) -> Option<StraightThrough> {
        match self {
            Self::Ste(surrogate) | Self::StomppSte(_, surrogate) => Some(surrogate),
            Self::Stompp(_) => None,
        }
    }

    /// Writes the procedure into a configuration.
    pub(crate) fn configure(self, config: &mut RunConfig) {
        config.method.name = self.method();
        if let Some(order) = self.order() {
            config.method.order = order;
        }
        if let Some(surrogate) = self.surrogate() {
            config.method.activation_surrogate = surrogate;
        }
    }
}

/// In prose, as tables show it.
impl fmt::Display for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ste(_) => "STE",
            Self::Stompp(_) => "StoMPP",
            Self::StomppSte(..) => "StoMPP+STE",
        })?;
        if let Some(surrogate) = self.surrogate() {
            write!(f, " ({surrogate})")?;
        }
        match self.order() {
            Some(order) if order != Order::Forward => write!(f, ", {order} order (ablation)"),
            _ => Ok(()),
        }
    }
}

/// What a line of a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) network: Model,
    pub(crate) images: Images,
    pub(crate) setting: Setting,
    pub(crate) procedure: Procedure,
}

impl Row {
    /// Every word that tells this row from another, most general first.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![
            self.network.to_string(),
            self.images.name().to_owned(),
            self.setting.to_string(),
            self.procedure.method().to_string(),
        ];
        words.extend(self.procedure.surrogate().map(|surrogate| surrogate.to_string()));
        words.extend(self.procedure.order().map(|order| order.to_string()));
        words
    }
}

/// The network in prose: `ResNet-20`.
pub(crate) fn network_title(network: Model) -> String {
    format!("ResNet-{}", network.depth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procedures_read_as_the_paper_names_them() {
        let shown = [
            (Procedure::Ste(StraightThrough::Identity), "STE (identity)"),
            (Procedure::Stompp(Order::Forward), "StoMPP"),
            (Procedure::Stompp(Order::Reverse), "StoMPP, reverse order (ablation)"),
            (
                Procedure::StomppSte(Order::Forward, StraightThrough::Clipped),
                "StoMPP+STE (clipped)",
            ),
        ];
        for (procedure, text) in shown {
            assert_eq!(procedure.to_string(), text);
        }
    }

    #[test]
    fn a_procedure_is_what_its_configuration_says() {
        let mut config = RunConfig::default();
        Procedure::StomppSte(Order::Reverse, StraightThrough::Identity).configure(&mut config);
        assert_eq!(config.method.name, Method::StomppSte);
        assert_eq!(config.method.order, Order::Reverse);
        assert_eq!(config.method.activation_surrogate, StraightThrough::Identity);
    }
}
