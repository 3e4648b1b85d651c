//! What a line of a table is about: network, images, setting, method. Measured and published numbers meet here.

use std::fmt;
use stompp_train::config::{
    Curve, Dataset, Method, Model, Order, RefreshRate, RunConfig, Setting, StraightThrough, Time,
};

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
    pub(crate) fn surrogate(self) -> Option<StraightThrough> {
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
        weights: StraightThrough,
        length: (Regime, u16),
        batch: u16,
    },
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
    fn configure(self, config: &mut RunConfig) {
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
        }
    }

    /// The words that tell a run with this knob from the preset's own.
    fn words(self) -> Vec<String> {
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
            Self::Length(Regime::Full, epochs) => write!(f, "{epochs} epochs"),
            Self::Length(Regime::Few, epochs) => write!(f, "{epochs} epochs of few images"),
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
    pub(crate) fn surrogate(&self) -> Option<StraightThrough> {
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

    const ROW: Row = Row {
        network: Model::Cifar { blocks: 3 },
        images: Images::CIFAR10,
        setting: Setting::Bnn,
        procedure: Procedure::StomppSte(Order::Reverse, StraightThrough::Identity),
        knob: Knob::Preset,
    };

    #[test]
    fn procedures_read_as_the_paper_names_them() {
        let shown = [
            (Procedure::Ste(StraightThrough::Identity), "STE (identity)"),
            (Procedure::Stompp(Order::Forward), "StoMPP"),
            (Procedure::Stompp(Order::Reverse), "StoMPP, reverse order"),
            (
                Procedure::StomppSte(Order::Forward, StraightThrough::Clipped),
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
        assert_eq!(config.method.activation_surrogate, StraightThrough::Identity);
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
        let slow = RefreshRate::of_window(0.5).unwrap();
        assert_eq!(name(Knob::Schedule(curve, slow)), format!("{plain}-cubic-r0.5w"));
        assert_eq!(name(Knob::Traced), format!("{plain}-traced"));
        assert_eq!(name(Knob::Length(Regime::Full, 24)), format!("{plain}-full-24ep"));
        assert_eq!(name(Knob::Length(Regime::Full, 20)), plain, "as the default has it");
    }

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

    #[test]
    fn only_binary_activations_have_a_surrogate() {
        let bwn = Row {
            setting: Setting::Bwn,
            procedure: Procedure::Ste(StraightThrough::Clipped),
            ..ROW
        };
        assert_eq!(bwn.words(&RunConfig::default()).join("-"), "resnet20-cifar10-bwn-ste");
        assert_eq!(
            (bwn.network_title(), bwn.method_title()),
            ("ResNet-20, BWN".into(), "STE".into())
        );
    }
}
