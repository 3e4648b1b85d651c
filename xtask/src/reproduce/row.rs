//! What a line of a table is about: network, images, setting, method. Measured and published numbers meet here.

use stompp_train::config::{Dataset, Method, Model, Order, RunConfig, Setting, Surrogate};

pub(crate) use super::knob::{Knob, Regime};

/// The images of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// A set that is generated or that `--data` has.
    Set(Dataset),
    /// ImageNet, which `--imagenet` has.
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
            Self::Set(Dataset::Mnist) => "MNIST",
            Self::Set(Dataset::FashionMnist) => "Fashion-MNIST",
            Self::Set(Dataset::Folder) => "image files",
            Self::ImageNet => "ImageNet",
        }
    }
}

/// How a network becomes binary, with the choices that the method has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Procedure {
    /// Not at all: an upper bound.
    Float,
    /// Binary throughout, with this gradient through activations.
    Ste(Surrogate),
    /// Freezing in this order, no gradient through frozen entries.
    Stompp(Order),
    /// Freezing in this order, with this gradient through frozen activations.
    StomppSte(Order, Surrogate),
}

impl Procedure {
    /// The method.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Float => Method::Float,
            Self::Ste(_) => Method::Ste,
            Self::Stompp(_) => Method::Stompp,
            Self::StomppSte(..) => Method::StomppSte,
        }
    }

    /// The order, if the method has one.
    pub(crate) fn order(self) -> Option<Order> {
        match self {
            Self::Stompp(order) | Self::StomppSte(order, _) => Some(order),
            Self::Float | Self::Ste(_) => None,
        }
    }

    /// The straight-through gradient of activations, if the method has one.
    pub(crate) fn surrogate(self) -> Option<Surrogate> {
        match self {
            Self::Ste(surrogate) | Self::StomppSte(_, surrogate) => Some(surrogate),
            Self::Float | Self::Stompp(_) => None,
        }
    }

    /// In prose, as tables show it. In BWN no activation is binary, so that no gradient of activations is told.
    fn title(self, setting: Setting) -> String {
        let mut title = match self {
            Self::Float => "nothing binary",
            Self::Ste(_) => "STE",
            Self::Stompp(_) => "StoMPP",
            Self::StomppSte(..) => "StoMPP+STE",
        }
        .to_owned();
        if let Some(surrogate) = self.surrogate().filter(|_| setting == Setting::Bnn) {
            title += &format!(" ({surrogate})");
        }
        if let Some(order) = self.order().filter(|order| *order != Order::Forward) {
            title += &format!(", {order} order");
        }
        title
    }

    /// Writes the procedure into a configuration.
    fn configure(self, config: &mut RunConfig) {
        config.method.name = self.method();
        if let Some(order) = self.order() {
            config.method.order = order;
        }
        if let Some(surrogate) = self.surrogate() {
            config.method.activation_surrogate = surrogate;
        }
    }
}

/// What a line of a table is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) network: Model,
    pub(crate) images: Images,
    pub(crate) setting: Setting,
    pub(crate) procedure: Procedure,
    pub(crate) knob: Knob,
}

impl Row {
    /// Writes the row into the configuration that its preset starts from.
    pub(crate) fn configure(&self, config: &mut RunConfig) {
        config.network.model = self.network.into();
        config.network.width.get_or_insert(self.network.default_width());
        config.network.setting = self.setting;
        self.procedure.configure(config);
        self.knob.configure(config);
    }

    /// Every word that tells the runs of this row from others of a preset that starts from `base`, most general first. A knob that
    /// stands where the preset has it adds none: such rows share their runs.
    pub(crate) fn words(&self, base: &RunConfig) -> Vec<String> {
        let mut words = vec![
            self.network.to_string(),
            self.images.name().to_owned(),
            self.setting.to_string(),
            self.procedure.method().to_string(),
        ];
        words.extend(self.surrogate().map(|surrogate| surrogate.to_string()));
        words.extend(self.procedure.order().map(|order| order.to_string()));
        let mut turned = base.clone();
        self.knob.configure(&mut turned);
        if turned != *base {
            words.extend(self.knob.words());
        }
        words
    }

    /// The straight-through gradient of activations, where there is one: in BWN no activation is binary.
    pub(crate) fn surrogate(&self) -> Option<Surrogate> {
        self.procedure.surrogate().filter(|_| self.setting == Setting::Bnn)
    }

    /// The network in prose: `ResNet-20`, `ResNet-20, BWN`.
    pub(crate) fn network_title(&self) -> String {
        match self.setting {
            Setting::Bnn => network_title(self.network),
            Setting::Bwn => format!("{}, BWN", network_title(self.network)),
        }
    }

    /// Network and images in prose: `ResNet-20, CIFAR-10`.
    pub(crate) fn place(&self) -> String {
        format!("{}, {}", self.network_title(), self.images.title())
    }

    /// Network and method in prose: `ResNet-20, StoMPP`.
    pub(crate) fn title(&self) -> String {
        format!("{}, {}", self.network_title(), self.method_title())
    }

    /// The method in prose.
    pub(crate) fn procedure_title(&self) -> String {
        self.procedure.title(self.setting)
    }

    /// Method and knob in prose.
    pub(crate) fn method_title(&self) -> String {
        let method = self.procedure_title();
        match self.knob.to_string() {
            knob if knob.is_empty() => method,
            knob => format!("{method}, {knob}"),
        }
    }
}

/// The model of a configuration that a row has written.
pub(crate) fn model(config: &RunConfig) -> Model {
    config.network.model.named().expect("rows have models with a name")
}

/// A network in prose: `ResNet-20`.
pub(crate) fn network_title(network: Model) -> String {
    format!("ResNet-{}", network.depth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_train::config::RefreshRate;

    const ROW: Row = Row {
        network: Model::Cifar { blocks: 3 },
        images: Images::CIFAR10,
        setting: Setting::Bnn,
        procedure: Procedure::StomppSte(Order::Reverse, Surrogate::Identity),
        knob: Knob::Preset,
    };

    #[test]
    fn procedures_read_as_the_paper_names_them() {
        let shown = [
            (Procedure::Ste(Surrogate::Identity), "STE (identity)"),
            (Procedure::Stompp(Order::Forward), "StoMPP"),
            (Procedure::Stompp(Order::Reverse), "StoMPP, reverse order"),
            (
                Procedure::StomppSte(Order::Forward, Surrogate::Clipped),
                "StoMPP+STE (clipped)",
            ),
        ];
        for (procedure, text) in shown {
            assert_eq!(procedure.title(Setting::Bnn), text);
        }
    }

    #[test]
    fn a_row_is_what_its_configuration_says() {
        let mut config = RunConfig::default();
        ROW.configure(&mut config);
        assert_eq!(model(&config), ROW.network);
        assert_eq!(config.method.name, Method::StomppSte);
        assert_eq!(config.method.order, Order::Reverse);
        assert_eq!(config.method.activation_surrogate, Surrogate::Identity);
    }

    #[test]
    fn a_knob_is_in_the_name_where_it_changes_the_run() {
        let base = RunConfig::default();
        let name = |knob| Row { knob, ..ROW }.words(&base).join("-");
        let plain = "resnet20-cifar10-bnn-stompp-ste-identity-reverse";
        let (curve, refresh) = (base.method.curve, base.method.refresh);
        for knob in [
            Knob::Preset,
            Knob::LearningRate(base.training.learning_rate),
            Knob::Schedule(curve, refresh),
        ] {
            assert_eq!(name(knob), plain);
        }
        assert_eq!(name(Knob::LearningRate(0.05)), format!("{plain}-lr0.05"));
        let slow = RefreshRate::from_window_fraction(0.5).unwrap();
        assert_eq!(name(Knob::Schedule(curve, slow)), format!("{plain}-cubic-r0.5w"));
        assert_eq!(name(Knob::Traced), format!("{plain}-traced"));
        assert_eq!(name(Knob::Length(Regime::Full, 24)), format!("{plain}-full-24ep"));
        assert_eq!(name(Knob::Length(Regime::Full, 20)), plain, "as the default has it");
    }

    #[test]
    fn only_binary_activations_have_a_surrogate() {
        let bwn = Row {
            setting: Setting::Bwn,
            procedure: Procedure::Ste(Surrogate::Clipped),
            ..ROW
        };
        assert_eq!(bwn.words(&RunConfig::default()).join("-"), "resnet20-cifar10-bwn-ste");
        assert_eq!(
            (bwn.network_title(), bwn.method_title()),
            ("ResNet-20, BWN".into(), "STE".into())
        );
    }
}
