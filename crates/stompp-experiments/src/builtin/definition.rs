//! Common parts of the built-in experiments: their definition, and the usual networks, methods, contrasts and claims.

use super::published;
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::{Experiment, ExtraTable, Figure, Published, TestClaims};
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::{Images, MethodVariant, Row};
use crate::run_spec::RunSpec;
use crate::setup::{Preset, Setup};
use stompp_train::config::{Dataset, Method, Model, Order, Surrogate};

/// A built-in experiment: a table of the paper or one of its ablations, for any setup. [`Builtin::experiment`] makes the
/// [`Experiment`] for one setup.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Name on the command line, in results and of files.
    pub name: &'static str,
    /// Heading of the report.
    pub title: &'static str,
    /// The question that it asks. The report shows it.
    pub question: &'static str,
    /// Rows of the table, in order.
    pub(super) rows: fn(&Setup) -> Vec<Row>,
    /// The number of seeds of a row, and its stage.
    pub(super) row_plan: fn(&Setup, &Row) -> RowPlan,
    /// The published top-1 accuracy of a row, in percent.
    pub(super) published: fn(&Row) -> Option<f64>,
    /// Pairs of rows to compare.
    pub(super) contrasts: fn(&[Row]) -> Vec<Contrast>,
    /// Tests the paper's claims.
    pub(super) claims: TestClaims,
    /// Further tables of the report.
    pub(super) extra_tables: &'static [ExtraTable],
    /// Figures of the report.
    pub(super) figures: &'static [Figure],
}

/// The number of seeds of a row, and its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowPlan {
    /// Maximum number of seeds, if the setup has more.
    pub(super) max_seeds: u64,
    /// Rows of a lower stage are trained first, with every seed.
    pub(super) stage: u32,
}

impl Builtin {
    /// Creates the experiment for a setup.
    pub fn experiment(&self, setup: &Setup) -> Experiment {
        let rows = (self.rows)(setup);
        let published_rows = (self.rows)(&Setup::new(Preset::Paper));
        let top1 = published_rows
            .iter()
            .filter_map(|row| Some((row.clone(), (self.published)(row)?)));
        let known = |contrast: &Contrast| contrast.published.is_some();
        let published = Published {
            source: published::SOURCE.to_owned(),
            top1: top1.collect(),
            contrasts: (self.contrasts)(&published_rows).into_iter().filter(known).collect(),
        };
        let contrasts = (self.contrasts)(&rows);
        let every = Experiment::new(self.name, self.title, rows, setup);
        let planned = |run: RunSpec| {
            let RowPlan { max_seeds, stage } = (self.row_plan)(setup, &run.row);
            (run.seed < max_seeds).then(|| run.with_stage(stage))
        };
        Experiment {
            question: self.question.to_owned(),
            runs: every.runs.into_iter().filter_map(planned).collect(),
            contrasts,
            claims: self.claims,
            published: Some(published),
            extra_tables: self.extra_tables.to_vec(),
            figures: self.figures.to_vec(),
            ..every
        }
    }
}

/// The baseline of all presets but `paper`. Its gradient through activations is clipped (*ours*): with the identity, deep networks stay at
/// chance in short runs.
pub(super) const STE: MethodVariant = MethodVariant::Ste(Surrogate::Clipped);
pub(super) const STOMPP: MethodVariant = MethodVariant::Stompp(Order::Forward);
pub(super) const STOMPP_STE: MethodVariant = MethodVariant::StomppSte(Order::Forward, Surrogate::Clipped);

/// The CIFAR ResNet of depth 6n+2.
pub(super) fn cifar(depth: usize) -> Model {
    Model::Cifar {
        blocks: (depth - 2) / 6,
    }
}

/// The images of all presets but `paper`: CIFAR-10, or generated images if the setup has no data.
pub(super) fn ten_classes(setup: &Setup) -> Images {
    Images::Set(match setup.data {
        Some(_) => Dataset::Cifar10,
        None => Dataset::Synthetic10,
    })
}

/// The images of an ablation: CIFAR-100 at preset `paper`, ten classes at the other presets.
pub(super) fn ablation_images(setup: &Setup) -> Images {
    match setup.preset {
        Preset::Smoke | Preset::Small | Preset::Medium => ten_classes(setup),
        Preset::Paper => Images::CIFAR100,
    }
}

/// The network of an ablation.
pub(super) fn ablation_network(setup: &Setup) -> Model {
    match setup.preset {
        Preset::Smoke | Preset::Small | Preset::Medium => cifar(20),
        Preset::Paper => Model::ResNet18,
    }
}

/// Contrasts of freezing with each STE baseline of the same network: StoMPP with every STE, StoMPP+STE with the STE of the same gradient.
pub(super) fn gains(rows: &[Row]) -> Vec<Contrast> {
    let baselines = rows.iter().filter(|row| row.variant.method() == Method::Ste);
    baselines
        .flat_map(|baseline| {
            let same_but_method = |row: &&Row| row.with_variant(baseline.variant) == *baseline;
            let wanted = |row: &&Row| match row.variant {
                MethodVariant::Float | MethodVariant::Ste(_) => false,
                MethodVariant::Stompp(order) => order == Order::Forward,
                MethodVariant::StomppSte(order, _) => {
                    order == Order::Forward && row.variant.surrogate() == baseline.variant.surrogate()
                }
            };
            rows.iter().filter(same_but_method).filter(wanted).map(|row| Contrast {
                row: row.clone(),
                baseline: baseline.clone(),
                published: published::gain(row, baseline),
            })
        })
        .collect()
}

/// The contrasts with the clipped STE. Only this baseline learns in deep networks.
pub(super) fn over_clipped_ste<'a>(results: &ExperimentResults<'a>) -> Vec<&'a Contrast> {
    let contrasts = results.contrasts().iter();
    contrasts.filter(|contrast| contrast.baseline.variant == STE).collect()
}

/// Tests for each contrast the claim that the row does better than its baseline.
pub(super) fn does_better(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let test = |contrast: &Contrast| {
        let (row, baseline) = (contrast.row.method_title(), contrast.baseline.method_title());
        ClaimTest::positive(
            format!(
                "{row} does better than {baseline} ({})",
                contrast.row.network_and_images()
            ),
            results.difference(contrast),
        )
    };
    Ok(results.contrasts().iter().map(test).collect())
}

/// Every row has all seeds of the setup, and all rows have the same stage.
pub(super) fn every_seed(_: &Setup, _: &Row) -> RowPlan {
    RowPlan {
        max_seeds: u64::MAX,
        stage: 0,
    }
}

/// Compares no rows.
pub(super) fn no_contrasts(_: &[Row]) -> Vec<Contrast> {
    Vec::new()
}
