//! Depth: the gain of StoMPP over STE against the depth of the network.

use super::definition::{Builtin, STE, STOMPP, cifar, every_seed, gains, over_clipped_ste, ten_classes};
use super::published;
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::Figure;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::{Images, MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::{Model, Setting, Surrogate};

pub(super) const DEPTH: Builtin = Builtin {
    name: "depth",
    title: "Depth: the gain of StoMPP over STE",
    question: "Does what freezing gains over STE grow with the depth of the network?",
    rows,
    row_plan: every_seed,
    published: published::top1,
    contrasts: gains,
    claims,
    extra_tables: &[],
    figures: &[Figure::GainByDepth, Figure::Accuracy],
};

fn rows(setup: &Setup) -> Vec<Row> {
    let bnn = |networks: &[_], variants: &[_]| Row::product(Setting::Bnn, networks, ten_classes(setup), variants);
    match setup.preset {
        Preset::Smoke => bnn(&[8, 20, 32].map(cifar), &[STE, STOMPP]),
        Preset::Small | Preset::Medium => bnn(&[8, 14, 20, 32, 44].map(cifar), &[STE, STOMPP]),
        Preset::Paper => {
            let networks = [Model::ResNet18, Model::ResNet34, Model::ResNet50];
            let variants = [MethodVariant::Ste(Surrogate::Identity), STE, STOMPP];
            [Images::CIFAR10, Images::CIFAR100]
                .map(|images| Row::product(Setting::Bnn, &networks, images, &variants))
                .concat()
        }
    }
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let contrasts = over_clipped_ste(results);
    let mut claims: Vec<_> = contrasts
        .iter()
        .map(|contrast| {
            ClaimTest::positive(
                format!("StoMPP gains over clipped STE ({})", contrast.row.network_and_images()),
                results.difference(contrast),
            )
        })
        .collect();
    for deep in &contrasts {
        let same_images = |contrast: &&&Contrast| contrast.row.images == deep.row.images;
        let Some(shallow) = contrasts.iter().find(same_images).filter(|shallow| *shallow != deep) else {
            continue;
        };
        let gain = |contrast: &Contrast| results.pairs(&contrast.row, &contrast.baseline);
        claims.push(ClaimTest::positive(
            format!(
                "the gain is larger at {} than at {} ({})",
                deep.row.network_title(),
                shallow.row.network_title(),
                deep.row.images.title()
            ),
            gain(deep).minus(&gain(shallow)).summary(),
        ));
    }
    Ok(claims)
}
