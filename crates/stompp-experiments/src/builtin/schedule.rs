//! Schedule: five curves by three refresh rates.

use super::definition::{Builtin, STOMPP, ablation_images, cifar, every_seed};
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::overrides::Override;
use crate::row::Row;
use crate::setup::{Preset, Setup};
use stompp_train::config::{Curve, Model, RefreshRate, Setting};

pub(super) const SCHEDULE: Builtin = Builtin {
    name: "schedule",
    title: "Schedule: curves and refresh rates",
    question: "Does it matter how the frozen fraction rises and how slowly masks follow it?",
    rows,
    row_plan: every_seed,
    published: |_| None,
    contrasts,
    claims,
    extra_tables: &[],
    figures: &[],
};

/// Largest difference from the default that counts as doing as well, in points (*ours*).
const AS_WELL: f64 = 3.0;

/// The paper's refresh rates at preset `paper`. The windows of the other presets are short, so their rates are shares of a window, with
/// the default in the middle.
fn rates(preset: Preset) -> [RefreshRate; 3] {
    match preset {
        Preset::Smoke | Preset::Small | Preset::Medium => {
            [0.01, 0.1, 1.0].map(|share| RefreshRate::from_window_fraction(share).expect("shares of a window"))
        }
        Preset::Paper => [10.0, 100.0, 1000.0].map(|steps| RefreshRate::from_steps(steps).expect("numbers of steps")),
    }
}

fn rows(setup: &Setup) -> Vec<Row> {
    let network = match setup.preset {
        Preset::Smoke => cifar(8),
        Preset::Small | Preset::Medium => cifar(20),
        Preset::Paper => Model::ResNet18,
    };
    let base = Row::product(Setting::Bnn, &[network], ablation_images(setup), &[STOMPP]);
    let schedules = Curve::ALL
        .into_iter()
        .flat_map(|curve| rates(setup.preset).map(|rate| Override::Schedule(curve, rate)));
    schedules
        .flat_map(|schedule| base.iter().map(move |row| row.with_override(schedule.clone())))
        .collect()
}

/// Compares every schedule with the default one.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let default = rows.iter().filter(|row| is_default(row, rows));
    default
        .flat_map(|baseline| {
            rows.iter().filter(move |row| *row != baseline).map(|row| Contrast {
                row: row.clone(),
                baseline: baseline.clone(),
                published: None,
            })
        })
        .collect()
}

/// Whether a row has the default curve and the middle refresh rate.
fn is_default(row: &Row, rows: &[Row]) -> bool {
    let rates: Vec<_> = rows.iter().filter_map(schedule).map(|(_, rate)| rate).take(3).collect();
    schedule(row) == Some((Curve::default(), rates[1]))
}

fn schedule(row: &Row) -> Option<(Curve, RefreshRate)> {
    match row.overrides {
        Override::Schedule(curve, rate) => Some((curve, rate)),
        _ => None,
    }
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let contrasts = results.contrasts().iter();
    Ok(contrasts
        .map(|contrast| {
            ClaimTest::within(
                format!(
                    "{} does as well as the default, to {AS_WELL} points",
                    contrast.row.overrides
                ),
                results.difference(contrast),
                AS_WELL,
            )
        })
        .collect())
}
