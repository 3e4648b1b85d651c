//! Learning rate: STE and StoMPP at several learning rates.

use super::definition::{Builtin, STE, STOMPP, ablation_images, ablation_network, every_seed};
use super::published;
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::overrides::Override;
use crate::row::{MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::{Method, Setting, Surrogate};

pub(super) const LR: Builtin = Builtin {
    name: "lr",
    title: "Learning rate",
    question: "Is the gain of freezing an effect of the learning rate?",
    rows,
    row_plan: every_seed,
    published: published::learning_rate_top1,
    contrasts,
    claims,
    extra_tables: &[],
    figures: &[],
};

fn rows(setup: &Setup) -> Vec<Row> {
    let network = [ablation_network(setup)];
    let bnn = |variants: &[_]| Row::product(Setting::Bnn, &network, ablation_images(setup), variants);
    let (base, rates): (_, &[f64]) = match setup.preset {
        Preset::Smoke => (bnn(&[STE, STOMPP]), &[0.05, 0.1]),
        Preset::Small | Preset::Medium => (bnn(&[STE, STOMPP]), &[0.02, 0.05, 0.1, 0.2]),
        Preset::Paper => (
            bnn(&[MethodVariant::Ste(Surrogate::Identity), STE, STOMPP]),
            &[0.05, 0.1],
        ),
    };
    base.iter()
        .flat_map(|row| {
            rates
                .iter()
                .map(move |rate| row.with_override(Override::LearningRate(*rate)))
        })
        .collect()
}

/// Compares StoMPP with STE at each rate.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let baselines = rows.iter().filter(|row| row.variant.method() == Method::Ste);
    baselines
        .map(|baseline| {
            let row = baseline.with_variant(STOMPP);
            let published = published::learning_rate_top1(&row).zip(published::learning_rate_top1(baseline));
            Contrast {
                row,
                baseline: baseline.clone(),
                published: published.map(|(stompp, ste)| stompp - ste),
            }
        })
        .collect()
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let contrasts = results.contrasts().iter();
    Ok(contrasts
        .map(|contrast| {
            let baseline = contrast.baseline.method_title();
            ClaimTest::positive(format!("StoMPP gains over {baseline}"), results.difference(contrast))
        })
        .collect())
}
