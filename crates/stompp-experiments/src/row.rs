//! One row of a table: network, images, setting, method and override. The runs of a row differ only in the seed.

use crate::overrides::Override;
use stompp_train::RunConfig;
use stompp_train::config::{Dataset, Method, Model, ModelSource, Order, Setting, Surrogate};

/// The images of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// A generated data set, or one in the folder or archive [`Setup::data`](crate::Setup::data).
    Set(Dataset),
    /// ImageNet, in the folder or archive [`Setup::imagenet`](crate::Setup::imagenet).
    ImageNet,
}

impl Images {
    pub(crate) const CIFAR10: Self = Self::Set(Dataset::Cifar10);
    pub(crate) const CIFAR100: Self = Self::Set(Dataset::Cifar100);

    /// The name in results and in run names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Set(dataset) => dataset.name(),
            Self::ImageNet => "imagenet",
        }
    }

    /// The name for readers.
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

/// A method with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodVariant {
    /// Training in full precision, as an upper bound.
    Float,
    /// STE: binary during the whole training, with this straight-through gradient of activations.
    Ste(Surrogate),
    /// StoMPP: freezing in this order, without a gradient through frozen entries.
    Stompp(Order),
    /// StoMPP+STE: freezing in this order, with this straight-through gradient of frozen activations.
    StomppSte(Order, Surrogate),
}

impl MethodVariant {
    /// The method.
    pub fn method(self) -> Method {
        match self {
            Self::Float => Method::Float,
            Self::Ste(_) => Method::Ste,
            Self::Stompp(_) => Method::Stompp,
            Self::StomppSte(..) => Method::StomppSte,
        }
    }

    /// The order, if the method has one.
    pub fn order(self) -> Option<Order> {
        match self {
            Self::Stompp(order) | Self::StomppSte(order, _) => Some(order),
            Self::Float | Self::Ste(_) => None,
        }
    }

    /// The straight-through gradient of activations, if the method has one.
    pub fn surrogate(self) -> Option<Surrogate> {
        match self {
            Self::Ste(surrogate) | Self::StomppSte(_, surrogate) => Some(surrogate),
            Self::Float | Self::Stompp(_) => None,
        }
    }

    /// The name in tables. In BWN no activation is binary, so the gradient of activations is not shown.
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

    /// Writes the method into a configuration.
    fn apply(self, config: &mut RunConfig) {
        config.method.name = self.method();
        if let Some(order) = self.order() {
            config.method.order = order;
        }
        if let Some(surrogate) = self.surrogate() {
            config.method.activation_surrogate = surrogate;
        }
    }
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The network: a named model, or a file with a graph.
    pub network: ModelSource,
    /// The images that it is trained and tested on.
    pub images: Images,
    /// BNN or BWN.
    pub setting: Setting,
    /// The method of training.
    pub variant: MethodVariant,
    /// A further change of the setup's configuration.
    pub overrides: Override,
}

impl Row {
    /// Returns a row for each network and method, network by network, without overrides.
    pub fn product<N: Clone + Into<ModelSource>>(
        setting: Setting,
        networks: &[N],
        images: Images,
        variants: &[MethodVariant],
    ) -> Vec<Self> {
        let row = |network: &N, variant: &MethodVariant| Self {
            network: network.clone().into(),
            images,
            setting,
            variant: *variant,
            overrides: Override::None,
        };
        networks
            .iter()
            .flat_map(|network| variants.iter().map(move |variant| row(network, variant)))
            .collect()
    }

    /// Returns the same row with another method.
    pub fn with_variant(&self, variant: MethodVariant) -> Self {
        Self {
            variant,
            ..self.clone()
        }
    }

    /// Returns the same row with another override.
    pub fn with_override(&self, overrides: Override) -> Self {
        Self {
            overrides,
            ..self.clone()
        }
    }

    /// The same row with another setting.
    pub(crate) fn with_setting(&self, setting: Setting) -> Self {
        Self {
            setting,
            ..self.clone()
        }
    }

    /// Writes the row into the configuration that its setup starts from.
    pub(crate) fn apply(&self, config: &mut RunConfig) {
        config.network.model = self.network.clone();
        // A network from a file has its own widths.
        config.network.width = self
            .network
            .named()
            .map(|model| config.network.width.unwrap_or(model.default_width()));
        config.network.setting = self.setting;
        self.variant.apply(config);
        self.overrides.apply(config);
    }

    /// The row whose runs this row's runs begin with: the same network in full precision. `None` if they begin with random weights.
    pub(crate) fn pretraining(&self) -> Option<Self> {
        match self.overrides {
            Override::Pretrained(length) => Some(
                self.with_variant(MethodVariant::Float)
                    .with_override(Override::Length(length)),
            ),
            _ => None,
        }
    }

    /// The words of a run's name, most general first. `base` is the base configuration of the setup. An override that does not change
    /// `base` adds no word, so a row with it shares its runs with the row without it.
    pub(crate) fn words(&self, base: &RunConfig) -> Vec<String> {
        let mut words = vec![
            network_name(&self.network),
            self.images.name().to_owned(),
            self.setting.to_string(),
            self.variant.method().to_string(),
        ];
        words.extend(self.surrogate().map(|surrogate| surrogate.to_string()));
        words.extend(self.variant.order().map(|order| order.to_string()));
        let mut changed = base.clone();
        self.overrides.apply(&mut changed);
        if changed != *base || self.pretraining().is_some() {
            words.extend(self.overrides.words());
        }
        words
    }

    /// Number of layers with weights; `None` if the network is from a file.
    pub(crate) fn depth(&self) -> Option<usize> {
        self.network.named().map(Model::depth)
    }

    /// The straight-through gradient of activations; `None` in BWN, where no activation is binary.
    pub(crate) fn surrogate(&self) -> Option<Surrogate> {
        self.variant.surrogate().filter(|_| self.setting == Setting::Bnn)
    }

    /// The network for readers: `ResNet-20`, `ResNet-20, BWN`.
    pub(crate) fn network_title(&self) -> String {
        match self.setting {
            Setting::Bnn => network_title(&self.network),
            Setting::Bwn => format!("{}, BWN", network_title(&self.network)),
        }
    }

    /// Network and images for readers: `ResNet-20, CIFAR-10`.
    pub(crate) fn network_and_images(&self) -> String {
        format!("{}, {}", self.network_title(), self.images.title())
    }

    /// Network and method for readers: `ResNet-20, StoMPP`.
    pub(crate) fn title(&self) -> String {
        format!("{}, {}", self.network_title(), self.method_title())
    }

    /// The method for readers.
    pub(crate) fn variant_title(&self) -> String {
        self.variant.title(self.setting)
    }

    /// Method and override for readers.
    pub(crate) fn method_title(&self) -> String {
        let method = self.variant_title();
        match self.overrides.to_string() {
            overrides if overrides.is_empty() => method,
            overrides => format!("{method}, {overrides}"),
        }
    }
}

/// A network for readers: `ResNet-20`, or the name of its file.
pub(crate) fn network_title(network: &ModelSource) -> String {
    match network.named() {
        Some(model) if model.is_bi_real() => format!("Bi-Real-{}", model.depth()),
        Some(model) => format!("ResNet-{}", model.depth()),
        None => network_name(network),
    }
}

/// A network in the name of a run: `resnet20`, or the name of its file without the ending.
fn network_name(network: &ModelSource) -> String {
    match network {
        ModelSource::Named(model) => model.to_string(),
        ModelSource::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Length;
    use stompp_train::config::RefreshRate;

    fn row() -> Row {
        Row {
            network: Model::Cifar { blocks: 3 }.into(),
            images: Images::CIFAR10,
            setting: Setting::Bnn,
            variant: MethodVariant::StomppSte(Order::Reverse, Surrogate::Identity),
            overrides: Override::None,
        }
    }

    #[test]
    fn variants_read_as_the_paper_names_them() {
        let shown = [
            (MethodVariant::Ste(Surrogate::Identity), "STE (identity)"),
            (MethodVariant::Stompp(Order::Forward), "StoMPP"),
            (MethodVariant::Stompp(Order::Reverse), "StoMPP, reverse order"),
            (
                MethodVariant::StomppSte(Order::Forward, Surrogate::Clipped),
                "StoMPP+STE (clipped)",
            ),
        ];
        for (variant, text) in shown {
            assert_eq!(variant.title(Setting::Bnn), text);
        }
    }

    #[test]
    fn a_row_is_what_its_configuration_says() {
        let mut config = RunConfig::default();
        row().apply(&mut config);
        assert_eq!(config.network.model, row().network);
        assert_eq!(config.method.name, Method::StomppSte);
        assert_eq!(config.method.order, Order::Reverse);
        assert_eq!(config.method.activation_surrogate, Surrogate::Identity);
    }

    #[test]
    fn a_network_from_a_file_is_named_by_it_and_has_its_own_width() {
        let mut config = RunConfig::default();
        config.network.width = Some(8);
        let row = Row {
            network: ModelSource::File("nets/vgg-small.toml".into()),
            ..row()
        };
        assert_eq!(row.words(&config)[0], "vgg-small");
        assert_eq!(row.network_title(), "vgg-small");
        row.apply(&mut config);
        assert_eq!(config.network.width, None);
    }

    #[test]
    fn an_override_is_in_the_name_where_it_changes_the_run() {
        let base = RunConfig::default();
        let name = |overrides| row().with_override(overrides).words(&base).join("-");
        let plain = "resnet20-cifar10-bnn-stompp-ste-identity-reverse";
        let (curve, refresh) = (base.method.curve, base.method.refresh);
        for overrides in [
            Override::None,
            Override::LearningRate(base.training.learning_rate),
            Override::Schedule(curve, refresh),
        ] {
            assert_eq!(name(overrides), plain);
        }
        assert_eq!(name(Override::LearningRate(0.05)), format!("{plain}-lr0.05"));
        let slow = RefreshRate::from_window_fraction(0.5).unwrap();
        assert_eq!(name(Override::Schedule(curve, slow)), format!("{plain}-cubic-r0.5w"));
        assert_eq!(name(Override::FrequentEvaluations), format!("{plain}-traced"));
        assert_eq!(name(Override::Length(Length::full(24))), format!("{plain}-full-24ep"));
        assert_eq!(name(Override::Length(Length::full(20))), plain, "as the default has it");
    }

    #[test]
    fn only_binary_activations_have_a_surrogate() {
        let bwn = row()
            .with_setting(Setting::Bwn)
            .with_variant(MethodVariant::Ste(Surrogate::Clipped));
        assert_eq!(bwn.words(&RunConfig::default()).join("-"), "resnet20-cifar10-bwn-ste");
        assert_eq!(
            (bwn.network_title(), bwn.method_title()),
            ("ResNet-20, BWN".into(), "STE".into())
        );
    }
}
