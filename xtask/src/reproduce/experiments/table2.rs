//! Table 2: binary weights, continuous activations (BWN).

use super::{Experiment, Figure, STE, STOMPP, cifar, does_better, every_seed, gains, product, ten_classes};
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::published;
use crate::reproduce::row::Row;
use stompp_train::config::Setting;

pub(super) const TABLE2: Experiment = Experiment {
    name: "table2",
    title: "Table 2: binary weights, continuous activations (BWN)",
    question: "What does freezing bring where only the weights become binary, so that no activation blocks a gradient?",
    rows,
    extent: every_seed,
    published: published::top1,
    contrasts: gains,
    findings: does_better,
    extras: &[],
    figures: &[Figure::Accuracy],
};

fn rows(scale: &Scale) -> Vec<Row> {
    let bwn = |networks: &[_], images| product(Setting::Bwn, networks, images, &[STE, STOMPP]);
    match scale.preset {
        Preset::Smoke => bwn(&[cifar(8), cifar(20)], ten_classes(scale)),
        Preset::Small | Preset::Medium => bwn(&[cifar(8), cifar(20), cifar(32)], ten_classes(scale)),
        Preset::Paper => published::IMAGES
            .map(|images| bwn(&published::NETWORKS, images))
            .concat(),
    }
}
