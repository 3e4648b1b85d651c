//! Table 1: binary networks (BNN) by network and data set, with STE, StoMPP and StoMPP+STE.

use super::{
    Experiment, Extent, Figure, STE, STOMPP, STOMPP_STE, cifar, does_better, every_seed, gains, product, ten_classes,
};
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::published;
use crate::reproduce::row::{Images, Procedure, Row};
use stompp_train::config::{Order, Setting};

pub(super) const TABLE1: Experiment = Experiment {
    name: "table1",
    title: "Table 1: binary weights and activations (BNN)",
    question: "How well does a binary network do that was frozen layer by layer, beside one that was binary throughout (STE)?",
    rows,
    extent,
    published: published::top1,
    contrasts: gains,
    findings: does_better,
    extras: &[],
    figures: &[
        Figure::Accuracy,
        Figure::FrozenFraction,
        Figure::MaskFlips,
        Figure::Speed,
        Figure::Samples,
    ],
};

/// At preset `medium`, whose runs take long, CIFAR-10 before CIFAR-100 and in each the shallower network first; the other has one seed.
fn extent(scale: &Scale, row: &Row) -> Extent {
    let hundred = row.images == Images::CIFAR100;
    let deeper = row.network != cifar(20);
    match scale.preset {
        Preset::Medium => Extent {
            seeds: if deeper { 1 } else { 3 },
            stage: 2 * u32::from(hundred) + u32::from(deeper),
        },
        _ => every_seed(scale, row),
    }
}

fn rows(scale: &Scale) -> Vec<Row> {
    let bnn = |networks: &[_], procedures: &[_]| product(Setting::Bnn, networks, ten_classes(scale), procedures);
    match scale.preset {
        Preset::Smoke => {
            let mut rows = bnn(&[cifar(8), cifar(20)], &[STE, STOMPP, STOMPP_STE]);
            // Once the wrong way round: what the order is for.
            rows.extend(bnn(&[cifar(20)], &[Procedure::Stompp(Order::Reverse)]));
            rows
        }
        Preset::Small => bnn(&[cifar(8), cifar(20), cifar(32)], &[STE, STOMPP, STOMPP_STE]),
        Preset::Medium => {
            let procedures = [Procedure::Float, STE, STOMPP, STOMPP_STE];
            let networks = [cifar(20), cifar(32)];
            let of = |images| product(Setting::Bnn, &networks, images, &procedures);
            [Images::CIFAR10, Images::CIFAR100].map(of).concat()
        }
        Preset::Paper => {
            // The published rows mean the identity; no win is worth reporting over that alone (*ours*).
            let mut procedures = published::PROCEDURES.to_vec();
            procedures.extend([STE, STOMPP_STE]);
            let networks = published::NETWORKS;
            let by_images = published::IMAGES.map(|images| product(Setting::Bnn, &networks, images, &procedures));
            by_images.concat()
        }
    }
}
