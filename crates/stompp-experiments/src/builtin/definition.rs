//! What the built-in experiments have in common: how one is described, and their usual networks, methods, contrasts and claims.

use super::published;
use crate::claim::ClaimTest;
use crate::experiment::{Experiment, ExtraTable, Figure, Published, TestClaims};
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::{Images, MethodVariant, Row};
use crate::run_spec::RunSpec;
use crate::setup::{Preset, Setup};
use anyhow::Result;
use stompp_train::config::{Dataset, Method, Model, Order, Surrogate};

/// An experiment at any setup: a table of the paper, or one of its ablations. [`Builtin::experiment`] is its value at one.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Name on the command line, in results and of files.
    pub name: &'static str,
    /// Heading of its report.
    pub title: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// Rows of its table, in order.
    pub(super) rows: fn(&Setup) -> Vec<Row>,
    /// How many seeds a row has, and when it is trained.
    pub(super) row_plan: fn(&Setup, &Row) -> RowPlan,
    /// The published top-1 accuracy of a row, percent.
    pub(super) published: fn(&Row) -> Option<f64>,
    /// Which rows are compared.
    pub(super) contrasts: fn(&[Row]) -> Vec<Contrast>,
    /// Tests the paper's claims.
    pub(super) claims: TestClaims,
    /// Further tables of its report.
    pub(super) extra_tables: &'static [ExtraTable],
    /// Figures of its report.
    pub(super) figures: &'static [Figure],
}

/// How many seeds a row has, and when it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowPlan {
    /// Seeds at most, however many the setup has.
    pub(super) max_seeds: u64,
    /// Rows of a lower stage are trained first, with every seed.
    pub(super) stage: u32,
}

impl Builtin {
    /// The experiment in this setup.
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
        Experiment {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            question: self.question.to_owned(),
            runs: self.runs(&rows, setup),
            contrasts: (self.contrasts)(&rows),
            rows,
            claims: self.claims,
            published: Some(published),
            extra_tables: self.extra_tables.to_vec(),
            figures: self.figures.to_vec(),
        }
    }

    /// Every run, all rows of a seed before the next seed's.
    fn runs(&self, rows: &[Row], setup: &Setup) -> Vec<RunSpec> {
        let run = |row: &Row, seed| {
            let RowPlan { max_seeds, stage } = (self.row_plan)(setup, row);
            (seed < max_seeds).then(|| RunSpec::new(row.clone(), seed, setup).with_stage(stage))
        };
        (0..setup.seeds)
            .flat_map(|seed| rows.iter().filter_map(move |row| run(row, seed)))
            .collect()
    }
}

/// The baseline below the paper's size. Its gradient through activations is clipped (*ours*): with the identity, deep networks do not
/// leave chance in short runs.
pub(super) const STE: MethodVariant = MethodVariant::Ste(Surrogate::Clipped);
pub(super) const STOMPP: MethodVariant = MethodVariant::Stompp(Order::Forward);
pub(super) const STOMPP_STE: MethodVariant = MethodVariant::StomppSte(Order::Forward, Surrogate::Clipped);

/// The CIFAR ResNet of this depth, 6n+2.
pub(super) fn cifar(depth: usize) -> Model {
    Model::Cifar {
        blocks: (depth - 2) / 6,
    }
}

/// The images below the paper's size: CIFAR-10, or generated ones without data.
pub(super) fn ten_classes(setup: &Setup) -> Images {
    Images::Set(match setup.data {
        Some(_) => Dataset::Cifar10,
        None => Dataset::Synthetic10,
    })
}

/// The images of an ablation: CIFAR-100 at the paper's size, ten classes below.
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

/// What freezing gains over each baseline: StoMPP over every STE of its network, StoMPP+STE over the STE with its gradient.
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

/// The claim of each contrast that the row does better than its baseline.
pub(super) fn does_better(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let test = |contrast: &Contrast| {
        let (row, baseline) = (contrast.row.method_title(), contrast.baseline.method_title());
        ClaimTest::positive(
            format!(
                "{row} does better than {baseline} ({})",
                contrast.row.network_and_images()
            ),
            &results.difference(contrast),
        )
    };
    Ok(results.contrasts().iter().map(test).collect())
}

/// Every row with all seeds of the setup, none before the others.
pub(super) fn every_seed(_: &Setup, _: &Row) -> RowPlan {
    RowPlan {
        max_seeds: u64::MAX,
        stage: 0,
    }
}

/// No contrast.
pub(super) fn no_contrasts(_: &[Row]) -> Vec<Contrast> {
    Vec::new()
}
