//! The table of options.

use super::Kind::{self, Boolean, Integer, Name, Number, Text, Time};
use stompp_train::config::{
    ActivationRule, Curve, Dataset, Device, Granularity, Method, OnBadImage, OptimizerName, Order, RateSchedule,
    Setting, Surrogate, WindowSharing,
};

/// One option.
pub(super) struct Opt {
    /// Name on the command line, without dashes.
    pub(super) flag: &'static str,
    /// Field of the configuration, with its section.
    pub(super) field: &'static str,
    /// How the value is written.
    pub(super) kind: Kind,
    /// What stands for the value in help.
    pub(super) value: &'static str,
    /// What the option does.
    pub(super) help: &'static str,
}

const fn opt(flag: &'static str, field: &'static str, kind: Kind, value: &'static str, help: &'static str) -> Opt {
    Opt {
        flag,
        field,
        kind,
        value,
        help,
    }
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(name).collect()
}

/// Every option, by the heading that it stands under in help.
pub(super) const OPTIONS: &[(&str, &[Opt])] = &[
    (
        "Data",
        &[
            opt(
                "dataset",
                "data.dataset",
                Name(|| names(Dataset::ALL, Dataset::name)),
                "NAME",
                "Images to train and test on; synthetic ones are generated and need no files",
            ),
            opt(
                "data",
                "data.path",
                Text,
                "PATH",
                "Folder, .tar.gz or .zip with the binary version of CIFAR-10 or CIFAR-100; for `mnist` and `fashion-mnist` the folder with \
                 their idx files; for `folder` the folder, .tar or .zip with train/CLASS/NAME.jpeg and val",
            ),
            opt(
                "labels",
                "data.labels",
                Text,
                "FILE",
                "Classes of the images of a flat val (`folder`): ILSVRC2012_validation_ground_truth.txt with meta.mat beside it, or \
                 lines of NAME CLASS, or a .csv",
            ),
            opt(
                "classes",
                "data.classes",
                Integer,
                "N",
                "Number of classes of `folder`, which must be so [default: as many as there are; 1000 in a summary]",
            ),
            opt(
                "train-limit",
                "data.train_limit",
                Integer,
                "N",
                "Train on N images only, balanced over the classes, the same for every seed [default: all]",
            ),
            opt(
                "test-limit",
                "data.test_limit",
                Integer,
                "N",
                "Test on N images only, likewise [default: all]",
            ),
            opt(
                "holdout",
                "data.holdout",
                Integer,
                "N",
                "Test on N training images instead, held out of training and balanced over the classes [default: none]",
            ),
            opt(
                "split-seed",
                "data.split_seed",
                Integer,
                "N",
                "Which images --train-limit, --test-limit and --holdout choose",
            ),
            opt(
                "image-size",
                "data.image_size",
                Integer,
                "PIXELS",
                "Side of the images; 32x32 are averaged down to it, parts of image files resized",
            ),
            opt(
                "augment",
                "data.augment",
                Boolean,
                "BOOL",
                "Random crop and horizontal flip while training",
            ),
            opt(
                "color-jitter",
                "data.color_jitter",
                Number,
                "J",
                "Change brightness, contrast and saturation of image files by factors from 1-J to 1+J while training; often 0.4",
            ),
            opt(
                "on-bad-image",
                "data.on_bad_image",
                Name(|| names(&OnBadImage::ALL, OnBadImage::name)),
                "NAME",
                "Image files that cannot be read: end the run, or leave them out and list them (at most 1 % of a set, of a small one 10)",
            ),
        ],
    ),
    (
        "Network",
        &[
            opt(
                "model",
                "network.model",
                Text,
                "NAME",
                "resnet18, resnet34, resnet50, or resnetN with N = 6n+2 (8, 14, 20, 26, 32, ...); bireal18, bireal34, birealN: with a \
                 shortcut around each convolution; or a file with a network, such as my_network.toml",
            ),
            opt(
                "width",
                "network.width",
                Integer,
                "CHANNELS",
                "Channels of the first stage [default: 64; 16 for the resnetN with N = 6n+2]",
            ),
            opt(
                "setting",
                "network.setting",
                Name(|| names(Setting::ALL, Setting::name)),
                "NAME",
                "What becomes binary: weights and activations (bnn) or weights only (bwn)",
            ),
            opt(
                "activation",
                "network.activation",
                Name(|| names(&ActivationRule::CONTINUOUS, ActivationRule::name)),
                "NAME",
                "Activation function of setting bwn",
            ),
        ],
    ),
    (
        "Method",
        &[
            opt(
                "method",
                "method.name",
                Name(|| names(Method::ALL, Method::name)),
                "NAME",
                "How the network becomes binary: not at all (float), from the first step with straight-through gradients (ste), \
             unit after unit without (stompp) or with them (stompp-ste)",
            ),
            opt(
                "order",
                "method.order",
                Name(|| names(&Order::ALL, Order::name)),
                "NAME",
                "Which unit freezes when: from input to output, all at once, from output to input",
            ),
            opt(
                "curve",
                "method.curve",
                Name(|| names(&Curve::ALL, Curve::name)),
                "NAME",
                "How the frozen fraction of a unit rises in its window",
            ),
            opt(
                "refresh",
                "method.refresh",
                Text,
                "RATE",
                "Steps in which a mask is redrawn once on average: 100, or 0.1w for a tenth of the unit's window",
            ),
            opt(
                "freeze-unit",
                "method.freeze_unit",
                Name(|| names(&WindowSharing::ALL, WindowSharing::name)),
                "NAME",
                "What freezes in one window: a weight together with the activation that feeds it, or each separately",
            ),
            opt(
                "activation-mask",
                "method.activation_mask",
                Name(|| names(&Granularity::ALL, Granularity::name)),
                "NAME",
                "What of an activation freezes as one: each entry of (C, H, W) by itself, or whole channels",
            ),
            opt(
                "warm-up",
                "method.warm_up",
                Time,
                "TIME",
                "Time before the first window, with nothing frozen",
            ),
            opt(
                "tail",
                "method.tail",
                Time,
                "TIME",
                "Time after the last window, with everything committed",
            ),
            opt(
                "activation-surrogate",
                "method.activation_surrogate",
                Name(|| names(&Surrogate::STRAIGHT_THROUGH, Surrogate::name)),
                "NAME",
                "Straight-through gradient of binary activations (ste, stompp-ste)",
            ),
            opt(
                "weight-surrogate",
                "method.weight_surrogate",
                Name(|| names(&Surrogate::STRAIGHT_THROUGH, Surrogate::name)),
                "NAME",
                "Straight-through gradient of binary weights (ste, stompp-ste)",
            ),
        ],
    ),
    (
        "Training",
        &[
            opt(
                "steps",
                "training.duration",
                Time,
                "TIME",
                "Length: 20ep (epochs), 4000ba (batches) or just 4000 (batches)",
            ),
            opt("batch-size", "training.batch_size", Integer, "N", "Images a step"),
            opt(
                "optimizer",
                "training.optimizer",
                Name(|| names(OptimizerName::ALL, OptimizerName::name)),
                "NAME",
                "SGD with momentum, or Adam, which wants a smaller learning rate, such as 0.001",
            ),
            opt(
                "learning-rate",
                "training.learning_rate",
                Number,
                "RATE",
                "Learning rate; the largest one of a schedule",
            ),
            opt(
                "learning-rate-schedule",
                "training.learning_rate_schedule",
                Name(|| names(RateSchedule::ALL, RateSchedule::name)),
                "NAME",
                "How the learning rate changes: not at all, to 0 along half a cosine, or divided by 10 after half and three quarters of \
                 the training",
            ),
            opt(
                "learning-rate-warm-up",
                "training.learning_rate_warm_up",
                Time,
                "TIME",
                "Time at the beginning in which the learning rate rises from nearly 0 in a straight line",
            ),
            opt(
                "momentum",
                "training.momentum",
                Number,
                "M",
                "Momentum of SGD; the first beta of Adam",
            ),
            opt(
                "weight-decay",
                "training.weight_decay",
                Number,
                "W",
                "L2 penalty: W times a parameter is added to its gradient",
            ),
            opt(
                "decay-latent-weights",
                "training.decay_latent_weights",
                Boolean,
                "BOOL",
                "Weight decay of latent binary weights, too; of those only the sign counts in the end",
            ),
            opt(
                "label-smoothing",
                "training.label_smoothing",
                Number,
                "S",
                "Share of the training loss's target that all classes have equally; often 0.1",
            ),
            opt(
                "clip-gradients",
                "training.clip_gradients",
                Number,
                "NORM",
                "Scale the gradients of a step down where their L2 norm, all together, is larger [default: never]",
            ),
            opt(
                "evaluate-every",
                "training.evaluate_every",
                Time,
                "TIME",
                "Time between evaluations; there is always one at the end",
            ),
            opt(
                "init-from",
                "training.init_from",
                Text,
                "FILE",
                "Begin with the weights and statistics of a safetensors file with torchvision's names, of a checkpoint, or of a \
                 finished run (its directory); what fits is taken, the rest is listed",
            ),
            opt(
                "continue",
                "training.continue_from",
                Text,
                "RUN",
                "Begin a new run at the end of this finished one: with its options where others are not given, its weights, \
                 statistics and momentum; --steps is the length of the new run, which freezes by a plan of its own",
            ),
            opt(
                "bn-reestimate",
                "training.bn_reestimate",
                Integer,
                "N",
                "Take batch-norm statistics of the deploy network anew over N training batches before it is evaluated or kept",
            ),
            opt(
                "seed",
                "seed",
                Integer,
                "N",
                "Seed of initial weights, data order, augmentation and masks",
            ),
        ],
    ),
    (
        "Device",
        &[
            opt(
                "device",
                "device.name",
                Name(|| names(Device::ALL, Device::name)),
                "NAME",
                "What computes: the processor, or the first NVIDIA GPU (in builds with the feature `cuda`)",
            ),
            opt(
                "strict-f32",
                "device.strict_f32",
                Boolean,
                "BOOL",
                "On a GPU, no factor of a convolution or product is rounded to TF32",
            ),
            opt(
                "deterministic",
                "device.deterministic",
                Boolean,
                "BOOL",
                "On a GPU, only algorithms that give the same bits each time",
            ),
        ],
    ),
];
