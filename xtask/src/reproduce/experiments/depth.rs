//! Depth: the gain of StoMPP over STE against the depth of the network.

use super::{Contrast, Experiment, Figure, STE, STOMPP, cifar, every_seed, gains, product, ten_classes};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::published;
use crate::reproduce::row::{Images, Procedure, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Model, Setting, Surrogate};

pub(super) const DEPTH: Experiment = Experiment {
    name: "depth",
    title: "Depth: the gain of StoMPP over STE",
    question: "Does what freezing gains over STE grow with the depth of the network?",
    rows,
    extent: every_seed,
    published: published::top1,
    contrasts: gains,
    findings,
    extras: &[],
    figures: &[Figure::GainByDepth, Figure::Accuracy],
};

fn rows(scale: &Scale) -> Vec<Row> {
    let bnn = |networks: &[_], procedures: &[_]| product(Setting::Bnn, networks, ten_classes(scale), procedures);
    match scale.preset {
        Preset::Smoke => bnn(&[8, 20, 32].map(cifar), &[STE, STOMPP]),
        Preset::Small | Preset::Medium => bnn(&[8, 14, 20, 32, 44].map(cifar), &[STE, STOMPP]),
        Preset::Paper => {
            let networks = [Model::ResNet18, Model::ResNet34, Model::ResNet50];
            let procedures = [Procedure::Ste(Surrogate::Identity), STE, STOMPP];
            [Images::CIFAR10, Images::CIFAR100]
                .map(|images| product(Setting::Bnn, &networks, images, &procedures))
                .concat()
        }
    }
}

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    // Over the baseline that learns.
    let contrasts: Vec<_> = study
        .contrasts()
        .into_iter()
        .filter(|contrast| contrast.baseline.procedure == STE)
        .collect();
    let mut findings: Vec<_> = contrasts
        .iter()
        .map(|contrast| {
            Finding::positive(
                format!("StoMPP gains over clipped STE ({})", contrast.row.place()),
                &study.difference(contrast),
            )
        })
        .collect();
    for deep in &contrasts {
        let of_images = |contrast: &&Contrast| contrast.row.images == deep.row.images;
        let Some(shallow) = contrasts.iter().find(of_images).filter(|shallow| *shallow != deep) else {
            continue;
        };
        let gain = |contrast: &Contrast| study.pairs(&contrast.row, &contrast.baseline);
        findings.push(Finding::positive(
            format!(
                "the gain is larger at {} than at {} ({})",
                deep.row.network_title(),
                shallow.row.network_title(),
                deep.row.images.title()
            ),
            &gain(deep).minus(&gain(shallow)).summary(),
        ));
    }
    Ok(findings)
}
