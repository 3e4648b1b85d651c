//! The table of options: each option of a run is defined here and nowhere else.
//!
//! To add an option:
//! 1. Add a field to a section of `RunConfig` (`../../config.rs`), and its default to that section's `Default`.
//! 2. Add an entry below, in the group that help shows it in: name, field (`section.field`), type of the value, help.
//!    If the field is an `Option`, add `.with_unset(...)`: what help shows as the default. If a run may be resumed with another
//!    value, add `.keeps_result()`. Names that other programs use go into `.with_aliases(...)`.
//! 3. If only some values can be run, refuse the others in `../check.rs`.
//! 4. Add a line with another value than the default to `FULL` in `tests/config.rs`.
//!
//! The command line, its help, `config.toml`, the comparison when a run is resumed, and errors then know the option.
//! Tests check each entry of the table: `cargo test -p stompp-train -p stompp-cli options`.

use super::{
    ConfigOption, OptionGroup,
    ValueType::{Boolean, Choice, Integer, Number, Text, Time},
    group, names, option,
};
use crate::config::{
    ActivationRule, Curve, Dataset, Device, Granularity, Method, OnBadImage, OptimizerName, Order, RateSchedule,
    Setting, Surrogate, WindowSharing,
};

/// Every option of a run, in the groups and the order of the help text.
pub const GROUPS: &[OptionGroup] = &[
    group("Data", DATA),
    group("Network", NETWORK),
    group("Method", METHOD),
    group("Training", TRAINING),
    group("Device", DEVICE),
];

const DATA: &[ConfigOption] = &[
    option(
        "dataset",
        "data.dataset",
        Choice(|| names(Dataset::ALL, Dataset::name)),
        "Images to train and test on; synthetic ones are generated and need no files",
    ),
    option(
        "data",
        "data.path",
        Text("PATH"),
        "Folder, .tar.gz or .zip with the binary version of CIFAR-10 or CIFAR-100; for `mnist` and `fashion-mnist` \
         the folder with their idx files; for `folder` the folder, .tar or .zip with train/CLASS/NAME.jpeg and val",
    )
    .with_aliases(&["data-dir", "data-path"])
    .with_unset("none")
    .keeps_result(),
    option(
        "labels",
        "data.labels",
        Text("FILE"),
        "Classes of the images of a flat val (`folder`): ILSVRC2012_validation_ground_truth.txt with meta.mat \
         beside it, or lines of NAME CLASS, or a .csv",
    )
    .with_unset("none")
    .keeps_result(),
    option(
        "classes",
        "data.classes",
        Integer("N"),
        "Number of classes of `folder`; a folder with another number is refused",
    )
    .with_unset("as many as there are; 1000 in a summary"),
    option(
        "train-limit",
        "data.train_limit",
        Integer("N"),
        "Train on N images only, balanced over the classes, the same for every seed",
    )
    .with_unset("all"),
    option(
        "test-limit",
        "data.test_limit",
        Integer("N"),
        "Test on N images only, chosen in the same way",
    )
    .with_unset("all"),
    option(
        "holdout",
        "data.holdout",
        Integer("N"),
        "Test on N training images instead, held out of training and balanced over the classes",
    )
    .with_unset("none"),
    option(
        "split-seed",
        "data.split_seed",
        Integer("N"),
        "Which images --train-limit, --test-limit and --holdout choose",
    ),
    option(
        "image-size",
        "data.image_size",
        Integer("PIXELS"),
        "Side of the images; 32x32 images are averaged down to it, crops of image files are resized to it",
    ),
    option(
        "augment",
        "data.augment",
        Boolean,
        "Random crop and horizontal flip while training",
    ),
    option(
        "color-jitter",
        "data.color_jitter",
        Number("J"),
        "Change brightness, contrast and saturation of image files by factors from 1-J to 1+J while training; often \
         0.4",
    ),
    option(
        "on-bad-image",
        "data.on_bad_image",
        Choice(|| names(&OnBadImage::ALL, OnBadImage::name)),
        "What to do with image files that cannot be read: end the run, or leave them out and list them (at most 1 % \
         of a set, of a small one 10)",
    )
    .keeps_result(),
];

const NETWORK: &[ConfigOption] = &[
    option(
        "model",
        "network.model",
        Text("NAME"),
        "resnet18, resnet34, resnet50, or resnetN with N = 6n+2 (8, 14, 20, 26, 32, ...); bireal18, bireal34, \
         birealN: with a shortcut around each convolution; or a file with a network, such as my_network.toml",
    )
    .with_aliases(&["arch"]),
    option(
        "width",
        "network.width",
        Integer("CHANNELS"),
        "Channels of the first stage",
    )
    .with_unset("64; 16 for the resnetN with N = 6n+2"),
    option(
        "setting",
        "network.setting",
        Choice(|| names(Setting::ALL, Setting::name)),
        "What becomes binary: weights and activations (bnn) or weights only (bwn)",
    ),
    option(
        "activation",
        "network.activation",
        Choice(|| names(&ActivationRule::CONTINUOUS, ActivationRule::name)),
        "Activation function of setting bwn",
    ),
];

const METHOD: &[ConfigOption] = &[
    option(
        "method",
        "method.name",
        Choice(|| names(Method::ALL, Method::name)),
        "How the network becomes binary: not at all (float), from the first step with straight-through gradients \
         (ste), unit after unit without (stompp) or with them (stompp-ste)",
    ),
    option(
        "order",
        "method.order",
        Choice(|| names(&Order::ALL, Order::name)),
        "Which unit freezes when: from input to output, all at once, from output to input",
    ),
    option(
        "curve",
        "method.curve",
        Choice(|| names(&Curve::ALL, Curve::name)),
        "How the frozen fraction of a unit rises in its window",
    ),
    option(
        "refresh",
        "method.refresh",
        Text("RATE"),
        "Steps in which a mask is redrawn once on average: 100, or 0.1w for a tenth of the unit's window",
    ),
    option(
        "freeze-unit",
        "method.freeze_unit",
        Choice(|| names(&WindowSharing::ALL, WindowSharing::name)),
        "What freezes in one window: a weight together with the activation that feeds it, or each separately",
    ),
    option(
        "activation-mask",
        "method.activation_mask",
        Choice(|| names(&Granularity::ALL, Granularity::name)),
        "What of an activation freezes together: each entry of (C, H, W) by itself, or whole channels",
    ),
    option(
        "warm-up",
        "method.warm_up",
        Time,
        "Time before the first window, with nothing frozen",
    ),
    option(
        "tail",
        "method.tail",
        Time,
        "Time after the last window, with everything committed",
    ),
    option(
        "activation-surrogate",
        "method.activation_surrogate",
        Choice(|| names(&Surrogate::STRAIGHT_THROUGH, Surrogate::name)),
        "Straight-through gradient of binary activations (ste, stompp-ste)",
    ),
    option(
        "weight-surrogate",
        "method.weight_surrogate",
        Choice(|| names(&Surrogate::STRAIGHT_THROUGH, Surrogate::name)),
        "Straight-through gradient of binary weights (ste, stompp-ste)",
    ),
];

const TRAINING: &[ConfigOption] = &[
    option(
        "steps",
        "training.duration",
        Time,
        "Length of the training: 20ep (epochs), 4000ba (batches) or just 4000 (batches)",
    ),
    option("batch-size", "training.batch_size", Integer("N"), "Images per step").with_aliases(&["batch"]),
    option(
        "optimizer",
        "training.optimizer",
        Choice(|| names(OptimizerName::ALL, OptimizerName::name)),
        "SGD with momentum, or Adam, which needs a smaller learning rate, such as 0.001",
    ),
    option(
        "learning-rate",
        "training.learning_rate",
        Number("RATE"),
        "Learning rate; the largest one of a schedule",
    )
    .with_aliases(&["lr"]),
    option(
        "learning-rate-schedule",
        "training.learning_rate_schedule",
        Choice(|| names(RateSchedule::ALL, RateSchedule::name)),
        "How the learning rate changes: not at all, to 0 along half a cosine, or divided by 10 after half and three \
         quarters of the training",
    )
    .with_aliases(&["lr-schedule"]),
    option(
        "learning-rate-warm-up",
        "training.learning_rate_warm_up",
        Time,
        "Time at the beginning in which the learning rate rises from nearly 0 in a straight line",
    )
    .with_aliases(&["lr-warm-up", "lr-warmup"]),
    option(
        "momentum",
        "training.momentum",
        Number("M"),
        "Momentum of SGD; the first beta of Adam",
    ),
    option(
        "weight-decay",
        "training.weight_decay",
        Number("W"),
        "L2 penalty: W times a parameter is added to its gradient",
    ),
    option(
        "decay-latent-weights",
        "training.decay_latent_weights",
        Boolean,
        "Apply weight decay to latent binary weights, too; in the end only their sign counts",
    ),
    option(
        "label-smoothing",
        "training.label_smoothing",
        Number("S"),
        "Share of the training loss's target that all classes have equally; often 0.1",
    ),
    option(
        "clip-gradients",
        "training.clip_gradients",
        Number("NORM"),
        "Scale down the gradients of a step if the L2 norm of all together is larger than NORM",
    )
    .with_unset("never"),
    option(
        "evaluate-every",
        "training.evaluate_every",
        Time,
        "Time between evaluations; there is always one at the end",
    ),
    option(
        "init-from",
        "training.init_from",
        Text("FILE"),
        "Begin with the weights and statistics of a safetensors file with torchvision's names, of a checkpoint, or \
         of a finished run (its directory); what fits is taken, the rest is listed",
    )
    .with_unset("none"),
    option(
        "continue",
        "training.continue_from",
        Text("RUN"),
        "Begin a new run at the end of this finished one: with its weights, statistics and momentum, and its \
         options where no others are given; --steps is the length of the new run, which freezes by a plan of its \
         own",
    )
    .with_unset("none"),
    option(
        "bn-reestimate",
        "training.bn_reestimate",
        Integer("N"),
        "Compute the batch-norm statistics of the deploy network again over N training batches before it is \
         evaluated or saved",
    ),
    option(
        "seed",
        "seed",
        Integer("N"),
        "Seed of initial weights, data order, augmentation and masks",
    ),
];

const DEVICE: &[ConfigOption] = &[
    option(
        "device",
        "device.name",
        Choice(|| names(Device::ALL, Device::name)),
        "What computes: the processor, or the first NVIDIA GPU (in builds with the feature `cuda`)",
    ),
    option(
        "strict-f32",
        "device.strict_f32",
        Boolean,
        "On a GPU, do not round the factors of convolutions and matrix products to TF32",
    ),
    option(
        "deterministic",
        "device.deterministic",
        Boolean,
        "On a GPU, use only algorithms that give the same bits each time",
    ),
];
