//! The configuration of a run: [`RunConfig`], read from TOML and checked before anything starts.
//!
//! **A configuration has everything that determines a run's result**, and nothing else: it has no threads, no output folders and no
//! console output. Every field has a default. An unknown field is an error that names the field. `config/options/table.rs` has the
//! command-line name and the help text of each field.

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
pub use names::{Dataset, Device, Method, OptimizerName, RateSchedule, ReductionOrder, Setting};
pub use stompp_binarize::{ActivationRule, Granularity, Surrogate, WindowSharing};
pub use stompp_data::OnBadImage;
pub use stompp_resnet::Model;
pub use stompp_schedule::{Curve, Order, RefreshRate};
pub use time::{Time, TimeError};
pub use timeline::Timeline;

use crate::files;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that determines a run's result, besides the data and the code.
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
    /// The device. Devices round differently, so the device changes the last bits of a result.
    pub device: DeviceConfig,
    /// How processes share each batch.
    pub processes: ProcessesConfig,
}

/// The images of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The data set.
    pub dataset: Dataset,
    /// Path of the data set. CIFAR: the folder, `.tar.gz` or `.zip` with its binary files. MNIST: the folder with its idx files.
    /// Image files: the folder, `.tar` or `.zip`. `None` for a synthetic set.
    pub path: Option<PathBuf>,
    /// File with the labels of the images in a flat `val` (data set `folder`): the official ground truth, or a list of names and
    /// classes.
    pub labels: Option<PathBuf>,
    /// Number of classes of data set `folder`. If absent, a run counts them and sets this field.
    pub classes: Option<usize>,
    /// Number of images to train on, balanced over the classes, the same for every seed. All if absent.
    pub train_limit: Option<usize>,
    /// Number of images to test on, chosen in the same way. All if absent.
    pub test_limit: Option<usize>,
    /// Number of training images to hold out and test on, balanced over the classes. They replace the test images.
    pub holdout: Option<usize>,
    /// Seed that selects the images for the limits and the holdout.
    pub split_seed: u64,
    /// Side of the images in pixels. CIFAR and synthetic images are averaged down to it; crops of image files are resized to it.
    pub image_size: usize,
    /// Whether training images are cropped at random and flipped horizontally. Images in memory are zero-padded by an eighth of the
    /// side before the crop; from an image file, the crop is a part of random size.
    pub augment: bool,
    /// Strength of the color jitter of image files: brightness, contrast and saturation change by factors from 1 - this to 1 + this.
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
    /// The network: a model of `stompp-resnet`, or a file with a graph.
    #[serde(with = "text")]
    pub model: ModelSource,
    /// Channels of a model's first stage. Its usual width if absent.
    pub width: Option<usize>,
    /// Whether activations are binary, too.
    pub setting: Setting,
    /// The activation function of setting `bwn`, one of [`ActivationRule::CONTINUOUS`]. Setting `bnn` uses its quantizer instead.
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
    /// The order in which units freeze (`stompp`, `stompp-ste`).
    #[serde(with = "text")]
    pub order: Order,
    /// How a unit's frozen fraction rises in its window (`stompp`, `stompp-ste`).
    #[serde(with = "text")]
    pub curve: Curve,
    /// How often mask entries are redrawn (`stompp`, `stompp-ste`).
    #[serde(with = "text")]
    pub refresh: RefreshRate,
    /// Whether a weight and the activation that feeds it share one window (`stompp`, `stompp-ste`).
    pub freeze_unit: WindowSharing,
    /// Whether an activation freezes by entries or by whole channels (`stompp`, `stompp-ste`).
    pub activation_mask: Granularity,
    /// Time before the first window, with nothing frozen (`stompp`, `stompp-ste`).
    pub warm_up: Time,
    /// Time after the last window, with everything committed (`stompp`, `stompp-ste`).
    pub tail: Time,
    /// Gradient of frozen activation entries (`ste`, `stompp-ste`; `stompp` blocks it): one of [`Surrogate::STRAIGHT_THROUGH`].
    pub activation_surrogate: Surrogate,
    /// Gradient of frozen weight entries, for the same methods and with the same choices.
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

/// The optimizer of a run. The default is SGD with momentum at a constant learning rate, without weight decay (*paper*). The other
/// options are common practice and work the same for every method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Length of the training, in epochs or steps.
    pub duration: Time,
    /// Images per step. An epoch has full batches only; the remaining images are left out.
    pub batch_size: usize,
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// Learning rate; with a schedule, its largest value.
    pub learning_rate: f64,
    /// Schedule of the learning rate.
    pub learning_rate_schedule: RateSchedule,
    /// Time at the beginning in which the learning rate rises linearly from nearly 0.
    pub learning_rate_warm_up: Time,
    /// Momentum of SGD, in [0, 1). With Adam, its first beta.
    pub momentum: f64,
    /// L2 penalty on the parameters: this value times a parameter is added to its gradient.
    pub weight_decay: f64,
    /// Whether weight decay also applies to latent binary weights.
    pub decay_latent_weights: bool,
    /// Label smoothing of the training loss, in [0, 1): this share of the target is spread evenly over all classes.
    pub label_smoothing: f64,
    /// Largest L2 norm of the gradients of a step, taken as one vector. Larger gradients are scaled down to it. No clipping if absent.
    pub clip_gradients: Option<f64>,
    /// Time between evaluations. The end of the training is always evaluated.
    pub evaluate_every: Time,
    /// Source of the initial weights and statistics: a safetensors file with torchvision's names, a checkpoint, or the directory of a
    /// finished run. Tensors that do not fit keep their random values. If absent, all weights come from the seed.
    pub init_from: Option<PathBuf>,
    /// Directory of a finished run to continue: the new run starts with its weights, statistics and momentum, at its position in the
    /// data order.
    pub continue_from: Option<PathBuf>,
    /// Number of training batches over which the batch-norm statistics of the deploy network are re-estimated, as plain means, before
    /// it is evaluated or saved. With 0 it keeps the running statistics of the training (*ours*; the paper does not say).
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

/// The device of a run and its numerical settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// The device.
    pub name: Device,
    /// Whether convolutions and matrix products use f32 throughout. If not, the GPU may round their inputs to TF32, as PyTorch does.
    pub strict_f32: bool,
    /// Whether the GPU uses only deterministic algorithms. The CPU is always deterministic.
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

/// How processes share each batch ([`Session::processes`](crate::Session::processes)). The number of processes is not part of the
/// configuration, because with the defaults it does not change the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessesConfig {
    /// Number of slices of a batch whose sums are added in pairs: a power of two. A run ends in the same bits with any number of processes
    /// up to it, but another number of slices gives other bits. If absent, one for each process; the run then keeps that number.
    pub slices: Option<usize>,
    /// Whether batch norms use the moments of each process's own images, as PyTorch does by default. The result then depends on the number
    /// of processes.
    pub local_batch_norm: bool,
    /// How gradients are added over processes.
    pub reduction: ReductionOrder,
}

impl Default for ProcessesConfig {
    fn default() -> Self {
        Self {
            slices: None,
            local_batch_norm: false,
            reduction: ReductionOrder::Exact,
        }
    }
}

impl RunConfig {
    /// Reads a configuration from TOML. Absent fields get their defaults.
    ///
    /// # Errors
    /// Returns [`ConfigError::Toml`] if the text is not TOML, has an unknown field, or has a value that its field does not accept.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(ConfigError::Toml)
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    /// Returns [`ConfigError::Read`] if the file cannot be read, and [`ConfigError::File`] if its text is not a valid configuration.
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

    /// Reads the configuration of the run in the directory `run`; `None` if the directory has no `config.toml`.
    ///
    /// # Errors
    /// Returns the errors of [`RunConfig::load`].
    pub fn from_run(run: &Path) -> Result<Option<Self>, ConfigError> {
        let file = run.join(files::CONFIG);
        file.is_file().then(|| Self::load(&file)).transpose()
    }

    /// Writes the configuration as TOML. [`RunConfig::from_toml`] reads it back to an equal configuration.
    ///
    /// # Panics
    /// Panics if a path is not UTF-8, which TOML requires.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field has a TOML form")
    }
}
