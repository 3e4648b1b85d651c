//! Learning rate: STE and StoMPP, each by several.

use super::{Contrast, Experiment, STE, STOMPP, ablation_images, ablation_network, every_seed, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::published;
use crate::reproduce::row::{Knob, Procedure, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Setting, Surrogate};

pub(super) const LR: Experiment = Experiment {
    name: "lr",
    title: "Learning rate",
    question: "Is the gain of freezing an effect of the learning rate?",
    rows,
    extent: every_seed,
    published: published::learning_rate_top1,
    contrasts,
    findings,
    extras: &[],
    figures: &[],
};

fn rows(scale: &Scale) -> Vec<Row> {
    let network = [ablation_network(scale)];
    let bnn = |procedures: &[_]| product(Setting::Bnn, &network, ablation_images(scale), procedures);
    let (base, rates): (_, &[f64]) = match scale.preset {
        Preset::Smoke => (bnn(&[STE, STOMPP]), &[0.05, 0.1]),
        Preset::Small | Preset::Medium => (bnn(&[STE, STOMPP]), &[0.02, 0.05, 0.1, 0.2]),
        Preset::Paper => (bnn(&[Procedure::Ste(Surrogate::Identity), STE, STOMPP]), &[0.05, 0.1]),
    };
    let knobs = rates.iter().map(|rate| Knob::LearningRate(*rate));
    base.iter()
        .flat_map(|row| knobs.clone().map(move |knob| Row { knob, ..*row }))
        .collect()
}

/// StoMPP over STE at each rate.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let baselines = rows.iter().filter(|row| row.procedure.method() == STE.method());
    baselines
        .map(|baseline| {
            let row = Row {
                procedure: STOMPP,
                ..*baseline
            };
            let published = published::learning_rate_top1(&row).zip(published::learning_rate_top1(baseline));
            Contrast {
                row,
                baseline: *baseline,
                published: published.map(|(stompp, ste)| stompp - ste),
            }
        })
        .collect()
}

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let contrasts = study.contrasts().into_iter();
    Ok(contrasts
        .map(|contrast| {
            let baseline = contrast.baseline.method_title();
            Finding::positive(format!("StoMPP gains over {baseline}"), &study.difference(&contrast))
        })
        .collect())
}
