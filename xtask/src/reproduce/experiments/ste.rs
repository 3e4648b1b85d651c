//! Straight-through estimators: with which gradient, depth and batch STE trains at all.

use super::{Experiment, Extra, ablation_images, cifar, every_seed, none, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::ledger::{Entry, Outcome};
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::row::{Knob, Procedure, Regime, Row};
use crate::reproduce::statistics::Sample;
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Model, Setting, Surrogate};

pub(super) const STE: Experiment = Experiment {
    name: "ste",
    title: "STE: which gradient the published rows can mean",
    question: "Does STE train with the gradient that the paper's summaries describe, the identity, or only with the clip's gate in front of \
               the sign?",
    rows,
    extent: every_seed,
    published: |_| None,
    contrasts: none,
    findings,
    extras: &[Extra::Gradients],
    figures: &[],
};

const IDENTITY: Surrogate = Surrogate::Identity;
const CLIPPED: Surrogate = Surrogate::Clipped;

/// The network and batch at which the gate on weights is tried, too. It should change nothing: latent weights are clamped to [-1, 1],
/// where the gate is open.
const WEIGHTS: (usize, u16) = (20, 128);

/// How far above chance a network must be to have learned anything, in points (*ours*).
const LEARNED: f64 = 5.0;

/// By batch, then depth.
fn rows(scale: &Scale) -> Vec<Row> {
    let (networks, batches, length): (&[Model], &[u16], _) = match scale.preset {
        Preset::Smoke => (&[8, 20].map(cifar), &[16], (Regime::Few, 3)),
        Preset::Small | Preset::Medium => (&[8, 14, 20, 32].map(cifar), &[64, 128, 256], (Regime::Full, 2)),
        Preset::Paper => (
            &[Model::ResNet18, Model::ResNet34, Model::ResNet50],
            &[256],
            (Regime::Full, 200),
        ),
    };
    let of = |batch, weights, networks: &[Model]| -> Vec<Row> {
        let procedures = [IDENTITY, CLIPPED].map(Procedure::Ste);
        let rows = product(Setting::Bnn, networks, ablation_images(scale), &procedures);
        let knob = Knob::Gates { weights, length, batch };
        rows.into_iter().map(|row| Row { knob, ..row }).collect()
    };
    let mut rows: Vec<_> = batches
        .iter()
        .flat_map(|&batch| of(batch, IDENTITY, networks))
        .collect();
    let (depth, batch) = WEIGHTS;
    if networks.contains(&cifar(depth)) {
        let batch = if batches.contains(&batch) { batch } else { batches[0] };
        rows.extend(of(batch, CLIPPED, &[cifar(depth)]));
    }
    rows
}

/// The same row with the identity on weights, if this one has the gate there.
fn without_gate_on_weights(row: &Row) -> Option<Row> {
    match row.knob {
        Knob::Gates { weights, length, batch } if weights == CLIPPED => Some(Row {
            knob: Knob::Gates {
                weights: IDENTITY,
                length,
                batch,
            },
            ..*row
        }),
        _ => None,
    }
}

/// How far each run ends above chance, in points; one that diverged has learned nothing.
fn above_chance(study: &Study<'_>, row: &Row) -> Sample {
    let runs = study.runs().filter(|(of, _)| *of == row);
    let above = |entry: &Entry| match &entry.outcome {
        Outcome::Finished(record) => {
            let classes = entry.cell.config().and_then(|config| config.data.dataset.classes());
            classes.map(|classes| record.result.top1 - 100.0 / classes as f64)
        }
        Outcome::Diverged(_) => Some(0.0),
        _ => None,
    };
    runs.filter_map(|(_, entry)| Some((entry.cell.seed, above(entry)?)))
        .collect()
}

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let nothing: Sample = (0..study.ledger.scale.seeds).map(|seed| (seed, LEARNED)).collect();
    let finding = |row: &Row| match without_gate_on_weights(row) {
        Some(other) => Finding::within(
            format!("the gate on weights changes nothing ({})", row.title()),
            &study.pairs(row, &other).summary(),
            0.0,
        ),
        None => Finding::positive(
            format!("{} ends more than {LEARNED} points above chance", row.title()),
            &above_chance(study, row).minus(&nothing).summary(),
        ),
    };
    Ok(study.rows().iter().map(finding).collect())
}
