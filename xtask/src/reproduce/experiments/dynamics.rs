//! Dynamics: test accuracy along the training, as it stands and as deployed, and what each commit does to it.

use super::{Experiment, Figure, STOMPP, ablation_images, cifar, every_seed, none, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::row::{Knob, Row};
use crate::reproduce::run_dir::Record;
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Model, Setting};

pub(super) const DYNAMICS: Experiment = Experiment {
    name: "dynamics",
    title: "Dynamics: accuracy along the training",
    question: "Does accuracy dip when a layer freezes and recover, and only where activations become binary?",
    rows,
    extent: every_seed,
    published: |_| None,
    contrasts: none,
    findings,
    extras: &[],
    figures: &[Figure::Accuracy, Figure::FrozenFraction],
};

fn rows(scale: &Scale) -> Vec<Row> {
    let network = match scale.preset {
        Preset::Smoke => cifar(8),
        Preset::Small | Preset::Medium => cifar(20),
        Preset::Paper => Model::ResNet18,
    };
    let settings = [Setting::Bnn, Setting::Bwn];
    let rows = settings.map(|setting| product(setting, &[network], ablation_images(scale), &[STOMPP]));
    let traced = |row| Row {
        knob: Knob::Traced,
        ..row
    };
    rows.concat().into_iter().map(traced).collect()
}

/// How far accuracy falls from one evaluation to the next, all falls of the run together, in points.
fn falls(record: &Record) -> f64 {
    let accuracies = record
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

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let of = |setting| study.rows().into_iter().find(|row| row.setting == setting);
    let (Some(bnn), Some(bwn)) = (of(Setting::Bnn), of(Setting::Bwn)) else {
        return Ok(Vec::new());
    };
    let falls = study.sample(&bnn, falls).minus(&study.sample(&bwn, falls));
    Ok(vec![Finding::positive(
        "accuracy falls by more, all falls along the training together, in BNN than in BWN (the sawtooth)".to_owned(),
        &falls.summary(),
    )])
}
