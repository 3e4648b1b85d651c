//! Straight-through estimators: with which gradients, depths and batch sizes STE learns.

use super::definition::{Builtin, ablation_images, cifar, every_seed, no_contrasts};
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::ExtraTable;
use crate::experiment_results::ExperimentResults;
use crate::overrides::{Length, Override};
use crate::row::{MethodVariant, Row};
use crate::run_index::{RunEntry, RunStatus};
use crate::setup::{Preset, Setup};
use crate::statistics::Sample;
use stompp_train::config::{Model, Setting, Surrogate};

pub(super) const STE: Builtin = Builtin {
    name: "ste",
    title: "STE: which gradient the published rows can mean",
    question: "Does STE train with the gradient that the paper's summaries describe, the identity, or only with the clip's gate in front of \
               the sign?",
    rows,
    row_plan: every_seed,
    published: |_| None,
    contrasts: no_contrasts,
    claims,
    extra_tables: &[ExtraTable::Gradients],
    figures: &[],
};

const IDENTITY: Surrogate = Surrogate::Identity;
const CLIPPED: Surrogate = Surrogate::Clipped;

/// The depth and the batch size with which the gate on weights is tried. The gate should change nothing: latent weights are clamped to
/// [-1, 1], where it is open.
const WEIGHTS: (usize, u16) = (20, 128);

/// A network has learned something if it is more than this above chance, in points (*ours*).
const LEARNED: f64 = 5.0;

/// The rows, ordered by batch size, then depth.
fn rows(setup: &Setup) -> Vec<Row> {
    let (networks, batches, length): (&[Model], &[u16], _) = match setup.preset {
        Preset::Smoke => (&[8, 20].map(cifar), &[16], Length::few(3)),
        Preset::Small | Preset::Medium => (&[8, 14, 20, 32].map(cifar), &[64, 128, 256], Length::full(2)),
        Preset::Paper => (
            &[Model::ResNet18, Model::ResNet34, Model::ResNet50],
            &[256],
            Length::full(200),
        ),
    };
    let of = |batch_size, surrogate, networks: &[Model]| -> Vec<Row> {
        let variants = [IDENTITY, CLIPPED].map(MethodVariant::Ste);
        let rows = Row::product(Setting::Bnn, networks, ablation_images(setup), &variants);
        let overrides = Override::WeightSurrogate {
            surrogate,
            length,
            batch_size,
        };
        rows.iter().map(|row| row.with_override(overrides.clone())).collect()
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

/// Returns the same row with the identity on weights; `None` if this row has no gate on weights.
fn without_gate_on_weights(row: &Row) -> Option<Row> {
    match row.overrides {
        Override::WeightSurrogate {
            surrogate: CLIPPED,
            length,
            batch_size,
        } => Some(row.with_override(Override::WeightSurrogate {
            surrogate: IDENTITY,
            length,
            batch_size,
        })),
        _ => None,
    }
}

/// The final accuracy of each run above chance, in points. A run that diverged counts as 0.
fn above_chance(results: &ExperimentResults<'_>, row: &Row) -> Sample {
    let above = |entry: &RunEntry| match &entry.status {
        RunStatus::Finished(run) => {
            let classes = entry.spec.config().and_then(|config| config.data.dataset.classes());
            classes.map(|classes| run.result.top1 - 100.0 / classes as f64)
        }
        RunStatus::Diverged(_) => Some(0.0),
        _ => None,
    };
    results
        .runs_of(row)
        .filter_map(|entry| Some((entry.spec.seed, above(entry)?)))
        .collect()
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let nothing: Sample = (0..results.setup().seeds).map(|seed| (seed, LEARNED)).collect();
    let test = |row: &Row| match without_gate_on_weights(row) {
        Some(other) => ClaimTest::within(
            format!("the gate on weights changes nothing ({})", row.title()),
            results.pairs(row, &other).summary(),
            0.0,
        ),
        None => ClaimTest::positive(
            format!("{} ends more than {LEARNED} points above chance", row.title()),
            above_chance(results, row).minus(&nothing).summary(),
        ),
    };
    Ok(results.rows().iter().map(test).collect())
}
