//! Table 2: binary weights, continuous activations (BWN).

use super::definition::{Builtin, STE, STOMPP, cifar, does_better, every_seed, gains, ten_classes};
use super::published;
use crate::experiment::Figure;
use crate::row::Row;
use crate::setup::{Preset, Setup};
use stompp_train::config::Setting;

pub(super) const TABLE2: Builtin = Builtin {
    name: "table2",
    title: "Table 2: binary weights, continuous activations (BWN)",
    question: "What does freezing bring where only the weights become binary, so that no activation blocks a gradient?",
    rows,
    row_plan: every_seed,
    published: published::top1,
    contrasts: gains,
    claims: does_better,
    extra_tables: &[],
    figures: &[Figure::Accuracy],
};

fn rows(setup: &Setup) -> Vec<Row> {
    let bwn = |networks: &[_], images| Row::product(Setting::Bwn, networks, images, &[STE, STOMPP]);
    match setup.preset {
        Preset::Smoke => bwn(&[cifar(8), cifar(20)], ten_classes(setup)),
        Preset::Small | Preset::Medium => bwn(&[cifar(8), cifar(20), cifar(32)], ten_classes(setup)),
        Preset::Paper => published::IMAGES
            .map(|images| bwn(&published::NETWORKS, images))
            .concat(),
    }
}
