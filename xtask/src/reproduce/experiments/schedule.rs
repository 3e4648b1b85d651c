//! Schedule: five curves by three refresh rates.

use super::{Contrast, Experiment, STOMPP, ablation_images, cifar, every_seed, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::row::{Knob, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Curve, Model, RefreshRate, Setting};

pub(super) const SCHEDULE: Experiment = Experiment {
    name: "schedule",
    title: "Schedule: curves and refresh rates",
    question: "Does it matter how the frozen fraction rises and how slowly masks follow it?",
    rows,
    extent: every_seed,
    published: |_| None,
    contrasts,
    findings,
    extras: &[],
    figures: &[],
};

/// How far a schedule may fall behind the default to count as doing as well, in points (*ours*).
const AS_WELL: f64 = 3.0;

/// The paper's refresh rates; at our scales, whose windows are short, as shares of a window with the default in the middle.
fn rates(preset: Preset) -> [RefreshRate; 3] {
    match preset {
        Preset::Smoke | Preset::Small | Preset::Medium => {
            [0.01, 0.1, 1.0].map(|share| RefreshRate::from_window_fraction(share).expect("shares of a window"))
        }
        Preset::Paper => [10.0, 100.0, 1000.0].map(|steps| RefreshRate::from_steps(steps).expect("numbers of steps")),
    }
}

fn rows(scale: &Scale) -> Vec<Row> {
    let network = match scale.preset {
        Preset::Smoke => cifar(8),
        Preset::Small | Preset::Medium => cifar(20),
        Preset::Paper => Model::ResNet18,
    };
    let base = product(Setting::Bnn, &[network], ablation_images(scale), &[STOMPP]);
    let schedules = Curve::ALL
        .into_iter()
        .flat_map(|curve| rates(scale.preset).map(|rate| Knob::Schedule(curve, rate)));
    schedules
        .flat_map(|knob| base.iter().map(move |row| Row { knob, ..*row }))
        .collect()
}

/// Every schedule beside the default one.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let default = rows.iter().filter(|row| is_default(row, rows));
    default
        .flat_map(|baseline| {
            rows.iter().filter(move |row| *row != baseline).map(|row| Contrast {
                row: *row,
                baseline: *baseline,
                published: None,
            })
        })
        .collect()
}

/// Whether a row has the default curve and the middle one of the refresh rates.
fn is_default(row: &Row, rows: &[Row]) -> bool {
    let rates: Vec<_> = rows.iter().filter_map(schedule).map(|(_, rate)| rate).take(3).collect();
    schedule(row) == Some((Curve::default(), rates[1]))
}

fn schedule(row: &Row) -> Option<(Curve, RefreshRate)> {
    match row.knob {
        Knob::Schedule(curve, rate) => Some((curve, rate)),
        _ => None,
    }
}

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let contrasts = study.contrasts().into_iter();
    Ok(contrasts
        .map(|contrast| {
            Finding::within(
                format!("{} does as well as the default, to {AS_WELL} points", contrast.row.knob),
                &study.difference(&contrast),
                AS_WELL,
            )
        })
        .collect())
}
