//! The configuration of a run: [`RunConfig`], read from TOML and checked before anything starts.
//!
//! **A configuration says everything that decides a run's result**, and nothing else: threads, folders to write and what is
//! printed are not in it. Every field has a default; unknown fields are an error that names them. `config/options/table.rs` has the
//! name of each field on the command line, and its help.

mod check;
mod compare;
mod data;
mod error;
mod model;
mod names;
pub mod options;
mod text;
mod time;
mod timeline;

pub use compare::Difference;
pub use error::ConfigError;
pub use model::{ModelSource, UnknownModelSource};
pub use names::{Dataset, Device, Method, OptimizerName, RateSchedule, Setting};
pub use stompp_binarize::{ActivationRule, Granularity, Surrogate, WindowSharing};
pub use stompp_data::OnBadImage;
pub use stompp_resnet::Model;
pub use stompp_schedule::{Curve, Order, RefreshRate};
pub use time::{Time, TimeError};
pub use timeline::Timeline;

use crate::files;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that decides a run's result.
///
/// ```
/// use stompp_train::config::{Method, RunConfig};
///
/// let config = RunConfig::from_toml("[method]\nname = \"stompp-ste\"\n")?;
/// assert_eq!(config.method.name, Method::StomppSte);
/// assert_eq!(config.training.batch_size, 256); // the rest has its default
/// assert_eq!(RunConfig::from_toml(&config.to_toml())?, config);
/// # Ok::<(), stompp_train::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of every random draw: initial weights, data order, augmentation, masks.
    pub seed: u64,
    /// The images.
    pub data: DataConfig,
    /// The network.
    pub network: NetworkConfig,
    /// How the network becomes binary.
    pub method: MethodConfig,
    /// The optimizer and how long it runs.
    pub training: TrainingConfig,
    /// The device. Devices round differently, so it changes the last bits of a result.
    pub device: DeviceConfig,
}

/// The images of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The data set.
    pub dataset: Dataset,
    /// Where the data set is: for CIFAR the folder, `.tar.gz` or `.zip` with its binary files; for MNIST the folder with its idx files;
    /// for image files the folder, `.tar` or `.zip`. `None` for a synthetic set.
    pub path: Option<PathBuf>,
    /// The classes of the images of a flat `val` (data set `folder`): the official ground truth, or a list of names and classes.
    pub labels: Option<PathBuf>,
    /// Number of classes of data set `folder`. If absent, a run counts them and sets this field.
    pub classes: Option<usize>,
    /// Number of images to train on, balanced over the classes, the same for every seed. All if absent.
    pub train_limit: Option<usize>,
    /// Number of images to test on, chosen in the same way. All if absent.
    pub test_limit: Option<usize>,
    /// Number of training images to test on instead of the test images: held out of training, balanced over the classes.
    pub holdout: Option<usize>,
    /// Which images the limits and the holdout choose.
    pub split_seed: u64,
    /// Side of the images in pixels. Images of CIFAR and synthetic ones are averaged down to it; crops of image files are resized to it.
    pub image_size: usize,
    /// Whether training images are cropped at random (after zero padding of an eighth of the side; of image files a random part) and
    /// flipped horizontally.
    pub augment: bool,
    /// How much augmentation changes brightness, contrast and saturation of image files: by factors from 1 - this to 1 + this.
    pub color_jitter: f64,
    /// What to do with image files that cannot be read.
    pub on_bad_image: OnBadImage,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dataset: Dataset::Synthetic10,
            path: None,
            labels: None,
            classes: None,
            train_limit: None,
            test_limit: None,
            holdout: None,
            split_seed: 0,
            image_size: 32,
            augment: true,
            color_jitter: 0.0,
            on_bad_image: OnBadImage::Fail,
        }
    }
}

/// The network of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Which network: a model of `stompp-resnet`, or a file with a graph.
    #[serde(with = "text")]
    pub model: ModelSource,
    /// Channels of a model's first stage. Its usual width if absent.
    pub width: Option<usize>,
    /// Whether activations are binary, too.
    pub setting: Setting,
    /// The activation function of setting `bwn`, one of [`ActivationRule::CONTINUOUS`]; `bnn` has its quantizer.
    pub activation: ActivationRule,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            model: Model::Cifar { blocks: 3 }.into(),
            width: None,
            setting: Setting::Bnn,
            activation: ActivationRule::Relu,
        }
    }
}

/// How a run makes its network binary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodConfig {
    /// The method.
    pub name: Method,
    /// Which unit freezes when (`stompp`, `stompp-ste`).
    #[serde(with = "text")]
    pub order: Order,
    /// How a unit's frozen fraction rises in its window (`stompp`, `stompp-ste`).
    #[serde(with = "text")]
    pub curve: Curve,
    /// How slowly masks follow that fraction (`stompp`, `stompp-ste`).
    #[serde(with = "text")]
    pub refresh: RefreshRate,
    /// What freezes within one window (`stompp`, `stompp-ste`).
    pub freeze_unit: WindowSharing,
    /// Which entries of an activation freeze as one (`stompp`, `stompp-ste`).
    pub activation_mask: Granularity,
    /// Time before the first window, with nothing frozen (`stompp`, `stompp-ste`).
    pub warm_up: Time,
    /// Time after the last window, with everything committed (`stompp`, `stompp-ste`).
    pub tail: Time,
    /// Gradient of frozen activation entries (`ste`, `stompp-ste`; `stompp` blocks it): one of [`Surrogate::STRAIGHT_THROUGH`].
    pub activation_surrogate: Surrogate,
    /// Gradient of frozen weight entries, under the same methods.
    pub weight_surrogate: Surrogate,
}

impl Default for MethodConfig {
    fn default() -> Self {
        Self {
            name: Method::Stompp,
            order: Order::default(),
            curve: Curve::default(),
            refresh: RefreshRate::default(),
            freeze_unit: WindowSharing::Together,
            activation_mask: Granularity::Entry,
            warm_up: Time::Steps(0),
            tail: Time::Share(5.0),
            activation_surrogate: Surrogate::Clipped,
            weight_surrogate: Surrogate::Identity,
        }
    }
}

/// The optimizer of a run. By default SGD with momentum at a constant learning rate, without weight decay (*paper*); the other recipes
/// are those of the field, the same for every method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Length of the training, in epochs or steps.
    pub duration: Time,
    /// Images per step. An epoch has full batches only; the images that remain are left out.
    pub batch_size: usize,
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// Learning rate; the largest one of a schedule.
    pub learning_rate: f64,
    /// How the learning rate changes while training.
    pub learning_rate_schedule: RateSchedule,
    /// Time at the beginning in which the learning rate rises in a straight line from nearly 0.
    pub learning_rate_warm_up: Time,
    /// Momentum, in [0, 1). The first beta of Adam.
    pub momentum: f64,
    /// L2 penalty on the parameters: this times a parameter is added to its gradient.
    pub weight_decay: f64,
    /// Whether latent binary weights get the penalty, too.
    pub decay_latent_weights: bool,
    /// Share of the training loss's target that all classes have equally, in [0, 1).
    pub label_smoothing: f64,
    /// The L2 norm to which the gradients of a step, as one vector, are scaled down if theirs is larger. Never if absent.
    pub clip_gradients: Option<f64>,
    /// Time between evaluations; there is always one at the end.
    pub evaluate_every: Time,
    /// Start from the weights and statistics in this file: a safetensors file with torchvision's names, a checkpoint, or the
    /// directory of a finished run. What does not fit keeps its random values. From the seed if absent.
    pub init_from: Option<PathBuf>,
    /// Start from the end of the run in this directory: with its weights, statistics and momentum, and at its position in the order
    /// of the data.
    pub continue_from: Option<PathBuf>,
    /// Training batches over which the batch-norm statistics of the deploy network are computed again, as plain means, before it is
    /// evaluated or saved. With 0 it has the running statistics of the training (*ours*; the paper does not say).
    pub bn_reestimate: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            duration: Time::Epochs(20.0),
            batch_size: 256,
            optimizer: OptimizerName::Sgd,
            learning_rate: 0.1,
            learning_rate_schedule: RateSchedule::Constant,
            learning_rate_warm_up: Time::Steps(0),
            momentum: 0.9,
            weight_decay: 0.0,
            decay_latent_weights: false,
            label_smoothing: 0.0,
            clip_gradients: None,
            evaluate_every: Time::Epochs(1.0),
            init_from: None,
            continue_from: None,
            bn_reestimate: 0,
        }
    }
}

/// What computes a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// The device.
    pub name: Device,
    /// Whether convolutions and matrix products use f32 throughout. If not, the GPU may round their factors to TF32, as PyTorch does.
    pub strict_f32: bool,
    /// Whether the GPU uses only algorithms that give the same bits each time. The CPU has no others.
    pub deterministic: bool,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            name: Device::Cpu,
            strict_f32: false,
            deterministic: true,
        }
    }
}

impl RunConfig {
    /// Reads a configuration; fields that are absent have their defaults.
    ///
    /// # Errors
    /// Returns [`ConfigError::Toml`] if the text is not TOML, has an unknown field, or has a value that its field does not take.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(ConfigError::Toml)
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    /// Returns [`ConfigError::Read`] if the file cannot be read, [`ConfigError::File`] where [`RunConfig::from_toml`] returns an error.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// The configuration of the run in the directory `run`; `None` if there is none.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn from_run(run: &Path) -> Result<Option<Self>, ConfigError> {
        let file = run.join(files::CONFIG);
        file.is_file().then(|| Self::load(&file)).transpose()
    }

    /// The configuration as TOML that [`RunConfig::from_toml`] reads back to an equal one.
    ///
    /// # Panics
    /// If a path is not UTF-8: TOML has no other text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field has a TOML form")
    }
}
