//! Configurations as they are written and read.

use stompp_train::{RunConfig, config::Time};

/// Every field, none at its default.
const FULL: &str = r#"seed = 7

[data]
dataset = "folder"
path = "/data/imagenet"
labels = "/data/val.txt"
classes = 100
train_limit = 1000
test_limit = 500
holdout = 5000
split_seed = 3
image_size = 224
augment = false
color_jitter = 0.4
on_bad_image = "skip"

[network]
model = "resnet18"
width = 24
setting = "bwn"
activation = "clip"

[method]
name = "stompp-ste"
order = "reverse"
curve = "flipped-quadratic"
refresh = "0.1w"
freeze_unit = "separately"
activation_mask = "channel"
warm_up = "30%"
tail = "100ba"
activation_surrogate = "identity"
weight_surrogate = "clipped"

[training]
duration = "4000ba"
batch_size = 32
optimizer = "adam"
learning_rate = 0.05
learning_rate_schedule = "cosine"
learning_rate_warm_up = "5ep"
momentum = 0.8
weight_decay = 0.0001
decay_latent_weights = true
label_smoothing = 0.1
clip_gradients = 2.0
evaluate_every = "0.5ep"
bn_reestimate = 20

[device]
name = "cuda"
strict_f32 = true
deterministic = false

[processes]
slices = 8
local_batch_norm = true
reduction = "fast"
"#;

#[test]
fn what_is_written_is_what_was_read() {
    assert_eq!(RunConfig::from_toml(FULL).unwrap().to_toml(), FULL);
    let default = RunConfig::default();
    assert_eq!(RunConfig::from_toml(&default.to_toml()).unwrap(), default);
    assert_eq!(RunConfig::from_toml("").unwrap(), default);
}

#[test]
fn no_field_of_the_full_text_is_at_its_default() {
    let default = RunConfig::default().to_toml();
    let fields = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.contains('='))
            .map(str::to_owned)
            .collect()
    };
    let common: Vec<_> = fields(FULL)
        .into_iter()
        .filter(|line| fields(&default).contains(line))
        .collect();
    assert!(common.is_empty(), "{common:?}");
}

#[test]
fn unknown_fields_are_refused_by_name() {
    for section in [
        "",
        "[data]\n",
        "[network]\n",
        "[method]\n",
        "[training]\n",
        "[device]\n",
        "[processes]\n",
    ] {
        let error = RunConfig::from_toml(&format!("{section}colour = 1"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `colour`, expected "), "{error}");
    }
}

#[test]
fn values_are_refused_by_name_and_place() {
    for (text, parts) in [
        ("[method]\nname = 'adam'", ["line 2", "unknown method `adam`"]),
        ("[method]\ntail = '5'", ["line 2", "`5` is not a time"]),
        ("[network]\nmodel = 'vgg16'", ["line 2", "unknown model `vgg16`"]),
        ("[training]\nbatch_size = -1", ["line 2", "-1"]),
        ("[training]\nduration = 20", ["line 2", "string"]),
        ("seed = ", ["line 1", "seed"]),
    ] {
        let error = RunConfig::from_toml(text).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn the_defaults_are_the_papers_where_known() {
    let config = RunConfig::default();
    let (method, training) = (&config.method, &config.training);
    assert_eq!((method.curve.name(), method.order.name()), ("cubic", "forward"));
    assert_eq!(method.refresh.to_string(), "100");
    assert_eq!(
        method.activation_surrogate.name(),
        "clipped",
        "ours: identity does not train deep networks"
    );
    assert_eq!(
        (training.batch_size, training.learning_rate, training.momentum),
        (256, 0.1, 0.9)
    );
    assert_eq!(training.learning_rate_schedule.name(), "constant");
    assert_eq!((training.optimizer.name(), training.weight_decay), ("sgd", 0.0));
    assert_eq!((method.warm_up, method.tail), (Time::Steps(0), Time::Share(5.0)));
}
