//! Table 1: binary networks (BNN) by network and data set, with STE, StoMPP and StoMPP+STE.

use super::definition::{
    Builtin, RowPlan, STE, STOMPP, STOMPP_STE, cifar, does_better, every_seed, gains, ten_classes,
};
use super::published;
use crate::experiment::Figure;
use crate::row::{Images, MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::{Order, Setting};

pub(super) const TABLE1: Builtin = Builtin {
    name: "table1",
    title: "Table 1: binary weights and activations (BNN)",
    question: "How well does a binary network do that was frozen layer by layer, beside one that was binary throughout (STE)?",
    rows,
    row_plan,
    published: published::top1,
    contrasts: gains,
    claims: does_better,
    extra_tables: &[],
    figures: &[
        Figure::Accuracy,
        Figure::FrozenFraction,
        Figure::MaskFlips,
        Figure::Speed,
        Figure::Samples,
    ],
};

/// The runs of preset `medium` take long. Its plan trains CIFAR-10 before CIFAR-100, and the shallower network before the deeper one,
/// which has one seed.
fn row_plan(setup: &Setup, row: &Row) -> RowPlan {
    let hundred = row.images == Images::CIFAR100;
    let deeper = row.network != cifar(20).into();
    match setup.preset {
        Preset::Medium => RowPlan {
            max_seeds: if deeper { 1 } else { 3 },
            stage: 2 * u32::from(hundred) + u32::from(deeper),
        },
        _ => every_seed(setup, row),
    }
}

fn rows(setup: &Setup) -> Vec<Row> {
    let bnn = |networks: &[_], variants: &[_]| Row::product(Setting::Bnn, networks, ten_classes(setup), variants);
    match setup.preset {
        Preset::Smoke => {
            let mut rows = bnn(&[cifar(8), cifar(20)], &[STE, STOMPP, STOMPP_STE]);
            // Reverse order shows why the order matters.
            rows.extend(bnn(&[cifar(20)], &[MethodVariant::Stompp(Order::Reverse)]));
            rows
        }
        Preset::Small => bnn(&[cifar(8), cifar(20), cifar(32)], &[STE, STOMPP, STOMPP_STE]),
        Preset::Medium => {
            let variants = [MethodVariant::Float, STE, STOMPP, STOMPP_STE];
            let networks = [cifar(20), cifar(32)];
            let rows = |images| Row::product(Setting::Bnn, &networks, images, &variants);
            [Images::CIFAR10, Images::CIFAR100].map(rows).concat()
        }
        Preset::Paper => {
            // The published rows use the identity. A gain over the identity alone would mean little, so clipped rows are added (*ours*).
            let mut variants = published::VARIANTS.to_vec();
            variants.extend([STE, STOMPP_STE]);
            let networks = published::NETWORKS;
            let by_images = published::IMAGES.map(|images| Row::product(Setting::Bnn, &networks, images, &variants));
            by_images.concat()
        }
    }
}
