//! Pretrained: STE and freezing from the weights of a float network.

use super::definition::{Builtin, RowPlan, STE, STOMPP, STOMPP_STE, ablation_images, cifar, gains};
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::overrides::{Length, Override};
use crate::row::{MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::{Model, Setting};

pub(super) const PRETRAINED: Builtin = Builtin {
    name: "pretrained",
    title: "Pretrained: binary networks from the weights of a float network",
    question: "Does StoMPP stay below STE if both begin with a trained float network, as a later paper reports for Bi-Real-18?",
    rows,
    row_plan,
    published: |_| None,
    contrasts,
    claims,
    extra_tables: &[],
    figures: &[],
};

/// Seeds at preset `small`.
const SEEDS: u64 = 3;

const METHODS: [MethodVariant; 3] = [STE, STOMPP, STOMPP_STE];

/// The networks, and the length of the training in full precision and of each binary training.
fn sizes(preset: Preset) -> ([Model; 2], Length) {
    let bi_real = |depth: usize| Model::BiRealCifar {
        blocks: (depth - 2) / 6,
    };
    match preset {
        Preset::Smoke => ([cifar(8), bi_real(8)], Length::few(3)),
        Preset::Small => ([cifar(20), bi_real(20)], Length::full(12)),
        Preset::Medium => ([cifar(20), bi_real(20)], Length::full(20)),
        Preset::Paper => ([Model::ResNet18, Model::BiReal18], Length::full(200)),
    }
}

/// The rows of each network: in full precision, then binary from random weights, then binary from the weights in full precision.
fn rows(setup: &Setup) -> Vec<Row> {
    let (networks, length) = sizes(setup.preset);
    let images = ablation_images(setup);
    let of_network = |network: &Model| {
        let [scratch, pretrained] = [Override::Length(length), Override::Pretrained(length)].map(|beginning| {
            let rows = Row::product(Setting::Bnn, &[*network], images, &METHODS);
            rows.into_iter().map(move |row| row.with_override(beginning.clone()))
        });
        let mut rows = vec![Row {
            network: (*network).into(),
            images,
            setting: Setting::Bnn,
            variant: MethodVariant::Float,
            overrides: Override::Length(length),
        }];
        rows.extend(scratch.chain(pretrained));
        rows
    };
    networks.iter().flat_map(of_network).collect()
}

/// The runs that others begin with are trained first.
fn row_plan(setup: &Setup, row: &Row) -> RowPlan {
    RowPlan {
        max_seeds: if setup.preset == Preset::Small { SEEDS } else { u64::MAX },
        stage: row.pretraining().is_some().into(),
    }
}

/// The row that differs from a pretrained row in its random weights only.
fn from_scratch(row: &Row) -> Option<Row> {
    match row.overrides {
        Override::Pretrained(length) => Some(row.with_override(Override::Length(length))),
        _ => None,
    }
}

/// First the contrasts of freezing with STE, then those of pretraining with random weights for each method.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let mut contrasts = gains(rows);
    contrasts.extend(rows.iter().filter_map(|row| {
        Some(Contrast {
            row: row.clone(),
            baseline: from_scratch(row)?,
            published: None,
        })
    }));
    contrasts
}

/// For each network the later paper's claim, and for each method that pretraining helps.
fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let of_row = |row: &Row| {
        let scratch = from_scratch(row)?;
        let below = (row.variant == STOMPP).then(|| {
            ClaimTest::positive(
                format!(
                    "from a float network StoMPP stays below STE ({})",
                    row.network_and_images()
                ),
                results.pairs(&row.with_variant(STE), row).summary(),
            )
        });
        let helps = ClaimTest::positive(
            format!(
                "{} ends better from a float network than from random weights ({})",
                row.variant_title(),
                row.network_and_images()
            ),
            results.pairs(row, &scratch).summary(),
        );
        Some(below.into_iter().chain([helps]))
    };
    Ok(results.rows().iter().filter_map(of_row).flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pretrained_row_is_compared_with_ste_and_with_random_weights() {
        let setup = Setup {
            data: Some("cifar".into()),
            seeds: 9,
            ..Setup::new(Preset::Small)
        };
        let rows = rows(&setup);
        assert_eq!(rows.len(), 2 * (1 + 2 * METHODS.len()));
        for row in rows.iter().filter_map(Row::pretraining) {
            assert!(rows.contains(&row), "{row:?} is trained");
        }
        // For each network: StoMPP and StoMPP+STE over STE with either beginning, and each method's beginnings.
        assert_eq!(contrasts(&rows).len(), 2 * (2 * 2 + 3));
        let runs = PRETRAINED.experiment(&setup).runs;
        assert_eq!(runs.len(), 3 * rows.len());
        for run in &runs {
            let parent = runs.iter().find(|other| Some(other.name()) == run.parent);
            assert_eq!(parent.is_some(), run.row.pretraining().is_some());
            assert!(parent.is_none_or(|parent| parent.stage < run.stage && parent.seed == run.seed));
        }
    }
}
