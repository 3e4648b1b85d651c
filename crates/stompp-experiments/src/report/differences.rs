//! Differences between the runs and the paper's. They are computed from the configurations, so they cannot be out of date.

use crate::row::network_title;
use crate::run_index::RunIndex;
use crate::setup::Preset;
use stompp_train::RunConfig;
use stompp_train::config::Time;

/// One sentence for each difference.
pub(crate) fn from_paper(index: &RunIndex) -> Vec<String> {
    let configs: Vec<_> = index.entries.iter().filter_map(|entry| entry.spec.config()).collect();
    let Some(config) = configs.first() else {
        return Vec::new();
    };
    let paper = RunConfig::default(); // The defaults are the paper's values, if these are known.
    let mut found = vec![];
    let images = distinct(
        index
            .entries
            .iter()
            .map(|entry| entry.spec.row.images.title().to_owned()),
    );
    if index.setup.preset != Preset::Paper {
        let counts = distinct(index.finished().map(|(_, run)| {
            let result = &run.result;
            format!(
                "{} to train on and {} to test on",
                result.train_images, result.test_images
            )
        }));
        let counts = if counts.is_empty() {
            counts
        } else {
            format!(", {counts}")
        };
        let size = config.data.image_size;
        found.push(format!(
            "images: {images}{counts}, {size}x{size} pixels (paper: all of CIFAR-10 and CIFAR-100 at 32x32, ImageNet)"
        ));
        let networks = distinct(configs.iter().map(|config| network_title(&config.network.model)));
        let width = config
            .network
            .width
            .map_or("their own".to_owned(), |width| width.to_string());
        found.push(format!(
            "networks: {networks} of width {width} (paper: ResNet-18, -34 and -50 of width 64)"
        ));
    }
    let lengths = configs.iter().map(|config| {
        let training = &config.training;
        format!("{} in batches of {}", training.duration, training.batch_size)
    });
    found.push(format!(
        "length: {}{} (paper: batches of {}; its number of epochs is not known here)",
        distinct(lengths),
        steps(index),
        paper.training.batch_size,
    ));
    if config.method.refresh != paper.method.refresh {
        found.push(format!(
            "refresh rate: {} (w: a unit's window) (paper: {} steps)",
            config.method.refresh, paper.method.refresh
        ));
    }
    if config.method.warm_up != paper.method.warm_up {
        found.push(format!(
            "warm-up: {} of the training with nothing frozen (paper: none known)",
            config.method.warm_up
        ));
    }
    if config.method.tail != Time::Share(0.0) {
        found.push(format!(
            "tail: {} of the training with everything committed (ours; the paper's is not known)",
            config.method.tail
        ));
    }
    let augmentation = configs.iter().map(|config| {
        let augment = config.data.augment;
        if augment { "random crop and flip" } else { "none" }.to_owned()
    });
    found.push(format!(
        "augmentation: {} (the paper's is not known)",
        distinct(augmentation)
    ));
    found.push(
        "straight-through gradient: that of activations is named in each row, that of weights is the identity unless the row \
         names another (paper: the identity for both, as its summaries have it). With the identity on activations deep networks stay at chance in short \
         runs, so a gain over it alone would mean little"
            .to_owned(),
    );
    if index.setup.preset != Preset::Paper {
        found.push(
            "read the numbers as an ordering: runs this short leave every network far from trained, and much of a lead over \
             STE may be that STE is slow to start: longer runs can close it. They say nothing about the gap at the paper's \
             length"
                .to_owned(),
        );
    }
    found
}

fn steps(index: &RunIndex) -> String {
    let steps = distinct(index.finished().map(|(_, run)| run.result.steps.to_string()));
    if steps.is_empty() {
        steps
    } else {
        format!(", {steps} steps")
    }
}

fn distinct(items: impl Iterator<Item = String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept.join(", ")
}
