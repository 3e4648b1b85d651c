//! Dynamics: test accuracy along the training, of the current and of the deploy network, and how each commit changes it.

use super::definition::{Builtin, STOMPP, ablation_images, cifar, every_seed, no_contrasts};
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::Figure;
use crate::experiment_results::ExperimentResults;
use crate::overrides::Override;
use crate::row::Row;
use crate::run_dir::FinishedRun;
use crate::setup::{Preset, Setup};
use stompp_train::config::{Model, Setting};

pub(super) const DYNAMICS: Builtin = Builtin {
    name: "dynamics",
    title: "Dynamics: accuracy along the training",
    question: "Does accuracy dip when a layer freezes and recover, and only where activations become binary?",
    rows,
    row_plan: every_seed,
    published: |_| None,
    contrasts: no_contrasts,
    claims,
    extra_tables: &[],
    figures: &[Figure::Accuracy, Figure::FrozenFraction],
};

fn rows(setup: &Setup) -> Vec<Row> {
    let network = match setup.preset {
        Preset::Smoke => cifar(8),
        Preset::Small | Preset::Medium => cifar(20),
        Preset::Paper => Model::ResNet18,
    };
    let settings = [Setting::Bnn, Setting::Bwn];
    let rows = settings.map(|setting| Row::product(setting, &[network], ablation_images(setup), &[STOMPP]));
    let rows = rows.concat();
    rows.iter()
        .map(|row| row.with_override(Override::FrequentEvaluations))
        .collect()
}

/// The sum of all falls of the accuracy from one evaluation to the next, in points.
fn falls(run: &FinishedRun) -> f64 {
    let accuracies = run
        .result
        .evaluations
        .iter()
        .map(|evaluation| evaluation.top1_as_it_stands);
    let next = accuracies.clone().skip(1);
    accuracies
        .zip(next)
        .map(|(before, after)| (before - after).max(0.0))
        .sum()
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let of = |setting| results.rows().iter().find(|row| row.setting == setting);
    let (Some(bnn), Some(bwn)) = (of(Setting::Bnn), of(Setting::Bwn)) else {
        return Ok(Vec::new());
    };
    let falls = results.sample(bnn, falls).minus(&results.sample(bwn, falls));
    Ok(vec![ClaimTest::positive(
        "accuracy falls by more, all falls along the training together, in BNN than in BWN (the sawtooth)".to_owned(),
        falls.summary(),
    )])
}
