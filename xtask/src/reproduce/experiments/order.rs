//! Order: forward, global and reverse, in BNN and in BWN.

use super::{Contrast, Experiment, Figure, ablation_images, ablation_network, every_seed, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::published;
use crate::reproduce::row::{Procedure, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Model, Order, Setting};

pub(super) const ORDER: Experiment = Experiment {
    name: "order",
    title: "Order: from input to output, all at once, or from output to input",
    question: "Which layers must freeze first, and does it matter where activations stay continuous?",
    rows,
    extent: every_seed,
    published: published::order_top1,
    contrasts,
    findings,
    extras: &[],
    figures: &[Figure::Accuracy],
};

const FORWARD: Procedure = Procedure::Stompp(Order::Forward);
const GLOBAL: Procedure = Procedure::Stompp(Order::Global);
const REVERSE: Procedure = Procedure::Stompp(Order::Reverse);

/// How far apart orders may be to count as the same, in points (*ours*).
const SAME: f64 = 2.0;

fn rows(scale: &Scale) -> Vec<Row> {
    let images = ablation_images(scale);
    let orders = [FORWARD, GLOBAL, REVERSE];
    let mut rows = match scale.preset {
        Preset::Smoke | Preset::Small | Preset::Medium => {
            product(Setting::Bnn, &[ablation_network(scale)], images, &orders)
        }
        Preset::Paper => product(Setting::Bnn, &[Model::ResNet18, Model::ResNet50], images, &orders),
    };
    rows.extend(product(Setting::Bwn, &[ablation_network(scale)], images, &orders));
    rows
}

fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let forward = rows.iter().filter(|row| row.procedure == FORWARD);
    forward
        .flat_map(|row| {
            [GLOBAL, REVERSE].map(|procedure| {
                let baseline = Row { procedure, ..*row };
                let published = published::order_top1(row).zip(published::order_top1(&baseline));
                Contrast {
                    row: *row,
                    baseline,
                    published: published.map(|(forward, other)| forward - other),
                }
            })
        })
        .collect()
}

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for forward in study.rows().iter().filter(|row| row.procedure == FORWARD) {
        let network = forward.network_title();
        let over = |procedure| study.pairs(forward, &Row { procedure, ..*forward });
        if forward.setting == Setting::Bnn {
            let bwn = Row {
                setting: Setting::Bwn,
                ..*forward
            };
            let in_bwn = study.pairs(
                &bwn,
                &Row {
                    procedure: REVERSE,
                    ..bwn
                },
            );
            findings.push(Finding::positive(
                format!("forward order does better than reverse ({network})"),
                &over(REVERSE).summary(),
            ));
            findings.push(Finding::positive(
                format!("forward order does better than global ({network})"),
                &over(GLOBAL).summary(),
            ));
            findings.push(Finding::positive(
                format!("reverse order costs more than it does with continuous activations ({network})"),
                &over(REVERSE).minus(&in_bwn).summary(),
            ));
        } else {
            for (procedure, name) in [(GLOBAL, "global"), (REVERSE, "reverse")] {
                findings.push(Finding::within(
                    format!("forward and {name} order do the same, to {SAME} points ({network})"),
                    &over(procedure).summary(),
                    SAME,
                ));
            }
        }
    }
    Ok(findings)
}
