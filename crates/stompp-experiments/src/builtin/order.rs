//! Order: forward, global and reverse, in BNN and in BWN.

use super::definition::{Builtin, ablation_images, ablation_network, every_seed};
use super::published;
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::Figure;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::{MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::{Model, Order, Setting};

pub(super) const ORDER: Builtin = Builtin {
    name: "order",
    title: "Order: from input to output, all at once, or from output to input",
    question: "Which layers must freeze first, and does it matter where activations stay continuous?",
    rows,
    row_plan: every_seed,
    published: published::order_top1,
    contrasts,
    claims,
    extra_tables: &[],
    figures: &[Figure::Accuracy],
};

const FORWARD: MethodVariant = MethodVariant::Stompp(Order::Forward);
const GLOBAL: MethodVariant = MethodVariant::Stompp(Order::Global);
const REVERSE: MethodVariant = MethodVariant::Stompp(Order::Reverse);

/// Largest difference between orders that count as the same, in points (*ours*).
const SAME: f64 = 2.0;

fn rows(setup: &Setup) -> Vec<Row> {
    let images = ablation_images(setup);
    let orders = [FORWARD, GLOBAL, REVERSE];
    let mut rows = match setup.preset {
        Preset::Smoke | Preset::Small | Preset::Medium => {
            Row::product(Setting::Bnn, &[ablation_network(setup)], images, &orders)
        }
        Preset::Paper => Row::product(Setting::Bnn, &[Model::ResNet18, Model::ResNet50], images, &orders),
    };
    rows.extend(Row::product(Setting::Bwn, &[ablation_network(setup)], images, &orders));
    rows
}

fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let forward = rows.iter().filter(|row| row.variant == FORWARD);
    forward
        .flat_map(|row| {
            [GLOBAL, REVERSE].map(|variant| {
                let baseline = row.with_variant(variant);
                let published = published::order_top1(row).zip(published::order_top1(&baseline));
                Contrast {
                    row: row.clone(),
                    baseline,
                    published: published.map(|(forward, other)| forward - other),
                }
            })
        })
        .collect()
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let mut claims = Vec::new();
    for forward in results.rows().iter().filter(|row| row.variant == FORWARD) {
        let network = forward.network_title();
        let over = |variant| results.pairs(forward, &forward.with_variant(variant));
        if forward.setting == Setting::Bnn {
            let bwn = forward.with_setting(Setting::Bwn);
            let in_bwn = results.pairs(&bwn, &bwn.with_variant(REVERSE));
            claims.push(ClaimTest::positive(
                format!("forward order does better than reverse ({network})"),
                over(REVERSE).summary(),
            ));
            claims.push(ClaimTest::positive(
                format!("forward order does better than global ({network})"),
                over(GLOBAL).summary(),
            ));
            claims.push(ClaimTest::positive(
                format!("reverse order costs more than it does with continuous activations ({network})"),
                over(REVERSE).minus(&in_bwn).summary(),
            ));
        } else {
            for (variant, name) in [(GLOBAL, "global"), (REVERSE, "reverse")] {
                claims.push(ClaimTest::within(
                    format!("forward and {name} order do the same, to {SAME} points ({network})"),
                    over(variant).summary(),
                    SAME,
                ));
            }
        }
    }
    Ok(claims)
}
