//! The table of options: each option of a run is defined here and nowhere else.
//!
//! To add an option:
//! 1. Add a field to a section of `RunConfig` (`../../config.rs`), and its default to that section's `Default`.
//! 2. Add an entry below, in the group that help shows it in: name, field (`section.field`), type of the value, help.
//!    If the field is an `Option`, add `.with_unset(...)`, the text that help shows as the default. If a run may be resumed with
//!    another value, add `.keeps_result()`. Names that other programs use go into `.with_aliases(...)`.
//! 3. If only some values can be run, reject the others in `../check.rs`.
//! 4. Add a line with a value other than the default to `FULL` in `tests/config.rs`.
//!
//! The option then works on the command line, in its help, in `config.toml`, in the comparison when a run is resumed, and in errors.
//! Tests check each entry of the table: `cargo test -p stompp-train -p stompp-cli options`.

use super::{
    ConfigOption, OptionGroup,
    ValueType::{Boolean, Choice, Integer, Number, Text, Time},
    group, names, option,
};
use crate::config::{
    ActivationRule, Curve, Dataset, Device, Granularity, Method, OnBadImage, OptimizerName, Order, RateSchedule,
    ReductionOrder, Setting, Surrogate, WindowSharing,
};

/// Every option of a run, in the groups and the order of the help text.
pub const GROUPS: &[OptionGroup] = &[
    group("Data", DATA),
    group("Network", NETWORK),
    group("Method", METHOD),
    group("Training", TRAINING),
    group("Device", DEVICE),
    group("Processes", PROCESSES),
];

const DATA: &[ConfigOption] = &[
    option(
        "dataset",
        "data.dataset",
        Choice(|| names(Dataset::ALL, Dataset::name)),
        "Images to train and test on; synthetic images are generated and need no files",
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
        "Labels of the images in a flat val (`folder`): ILSVRC2012_validation_ground_truth.txt with meta.mat \
         beside it, or lines of NAME CLASS, or a .csv",
    )
    .with_unset("none")
    .keeps_result(),
    option(
        "classes",
        "data.classes",
        Integer("N"),
        "Expected number of classes of `folder`; a folder with another number is an error",
    )
    .with_unset("the number found; 1000 in a summary"),
    option(
        "train-limit",
        "data.train_limit",
        Integer("N"),
        "Train on only N images, balanced over the classes, the same for every --seed",
    )
    .with_unset("all"),
    option(
        "test-limit",
        "data.test_limit",
        Integer("N"),
        "Test on only N images, chosen in the same way",
    )
    .with_unset("all"),
    option(
        "holdout",
        "data.holdout",
        Integer("N"),
        "Hold out N training images, balanced over the classes, and test on them instead of the test images",
    )
    .with_unset("none"),
    option(
        "split-seed",
        "data.split_seed",
        Integer("N"),
        "Seed that selects the images for --train-limit, --test-limit and --holdout",
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
        "Change brightness, contrast and saturation of image files by random factors from 1-J to 1+J while training; a \
         common value is 0.4",
    ),
    option(
        "on-bad-image",
        "data.on_bad_image",
        Choice(|| names(&OnBadImage::ALL, OnBadImage::name)),
        "What to do with image files that cannot be read: end the run, or leave them out and list them (at most 1 % \
         of a set, or 10 images of a small set)",
    )
    .keeps_result(),
];

const NETWORK: &[ConfigOption] = &[
    option(
        "model",
        "network.model",
        Text("NAME"),
        "resnet18, resnet34, resnet50, or resnetN with N = 6n+2 (8, 14, 20, 26, 32, ...); bireal18, bireal34 or \
         birealN, with a shortcut around each convolution; or a file with a graph, such as my_network.toml",
    )
    .with_aliases(&["arch"]),
    option(
        "width",
        "network.width",
        Integer("CHANNELS"),
        "Channels of the first stage",
    )
    .with_unset("64; 16 for models with N = 6n+2"),
    option(
        "setting",
        "network.setting",
        Choice(|| names(Setting::ALL, Setting::name)),
        "What becomes binary: weights and activations (bnn), or only weights (bwn)",
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
        "How the network becomes binary: not at all (float); from the first step with straight-through gradients \
         (ste); unit by unit without straight-through gradients (stompp) or with them (stompp-ste)",
    ),
    option(
        "order",
        "method.order",
        Choice(|| names(&Order::ALL, Order::name)),
        "Order in which units freeze: from input to output, all at once, or from output to input",
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
        "Average number of steps between redraws of a mask entry: 100, or 0.1w for a tenth of the unit's window",
    ),
    option(
        "freeze-unit",
        "method.freeze_unit",
        Choice(|| names(&WindowSharing::ALL, WindowSharing::name)),
        "What freezes in one window: a weight together with the activation that feeds it, or each by itself",
    ),
    option(
        "activation-mask",
        "method.activation_mask",
        Choice(|| names(&Granularity::ALL, Granularity::name)),
        "How an activation of shape (C, H, W) freezes: each entry by itself, or whole channels",
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
        "Length of the training: 20ep (epochs), 4000ba or 4000 (batches)",
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
        "Learning rate; with a schedule, its largest value",
    )
    .with_aliases(&["lr"]),
    option(
        "learning-rate-schedule",
        "training.learning_rate_schedule",
        Choice(|| names(RateSchedule::ALL, RateSchedule::name)),
        "How the learning rate changes: not at all, down to 0 along half a cosine, or divided by 10 after half and \
         again after three quarters of the training",
    )
    .with_aliases(&["lr-schedule"]),
    option(
        "learning-rate-warm-up",
        "training.learning_rate_warm_up",
        Time,
        "Time at the beginning in which the learning rate rises linearly from nearly 0",
    )
    .with_aliases(&["lr-warm-up", "lr-warmup"]),
    option(
        "momentum",
        "training.momentum",
        Number("M"),
        "Momentum of SGD, or the first beta of Adam",
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
        "Also apply weight decay to latent binary weights, although only their sign counts in the end",
    ),
    option(
        "label-smoothing",
        "training.label_smoothing",
        Number("S"),
        "Spread this share of the training target evenly over all classes; a common value is 0.1",
    ),
    option(
        "clip-gradients",
        "training.clip_gradients",
        Number("NORM"),
        "Scale down the gradients of a step if the L2 norm of all of them together is larger than NORM",
    )
    .with_unset("never"),
    option(
        "evaluate-every",
        "training.evaluate_every",
        Time,
        "Time between evaluations; the end of the training is always evaluated",
    ),
    option(
        "init-from",
        "training.init_from",
        Text("FILE"),
        "Begin with the weights and statistics of a safetensors file with torchvision's names, of a checkpoint, or \
         of a finished run (its directory); tensors that fit are loaded, the others are listed",
    )
    .with_unset("none"),
    option(
        "continue",
        "training.continue_from",
        Text("RUN"),
        "Begin a new run at the end of this finished run, with its weights, statistics, momentum and options; other \
         options override them. --steps is the length of the new run, which has its own freezing plan",
    )
    .with_unset("none"),
    option(
        "bn-reestimate",
        "training.bn_reestimate",
        Integer("N"),
        "Re-estimate the batch-norm statistics of the deploy network over N training batches before it is evaluated \
         or saved",
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
        "Device to train on: the CPU, or the first NVIDIA GPU (in builds with the feature `cuda`)",
    ),
    option(
        "strict-f32",
        "device.strict_f32",
        Boolean,
        "On a GPU, do not round the inputs of convolutions and matrix products to TF32",
    ),
    option(
        "deterministic",
        "device.deterministic",
        Boolean,
        "On a GPU, use only deterministic algorithms, which give the same bits each time",
    ),
];

const PROCESSES: &[ConfigOption] = &[
    option(
        "slices",
        "processes.slices",
        Integer("N"),
        "Slices of a batch whose sums are added in pairs, a power of two: a run ends in the same bits with any number of \
         processes up to it",
    )
    .with_unset("one for each process"),
    option(
        "local-batch-norm",
        "processes.local_batch_norm",
        Boolean,
        "Batch norms use the moments of each process's own images; the result then depends on the number of processes",
    ),
    option(
        "reduction",
        "processes.reduction",
        Choice(|| names(ReductionOrder::ALL, ReductionOrder::name)),
        "How gradients are added over processes: `exact` in pairs, `fast` as the MPI library does it, for any number of \
         processes, with a result that depends on it",
    ),
];
