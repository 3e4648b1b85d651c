//! Recipe: STE and freezing with common training recipes.

use super::definition::{Builtin, RowPlan, STE, STOMPP, STOMPP_STE, ablation_network, gains, ten_classes};
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::overrides::{Length, Override};
use crate::recipe::Recipe;
use crate::row::{MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::Setting;

pub(super) const RECIPE: Builtin = Builtin {
    name: "recipe",
    title: "Recipe: what the field's training recipes do to STE and to StoMPP",
    question: "Does what freezing gains over STE depend on the paper's plain recipe?",
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

/// The training images and the number of epochs.
fn length(preset: Preset) -> Length {
    match preset {
        Preset::Smoke => Length::few(3),
        Preset::Small => Length::full(24),
        Preset::Medium => Length::full(20),
        Preset::Paper => Length::full(200),
    }
}

/// The rows, with the paper's recipe first. They share its runs with the experiment `length`.
fn rows(setup: &Setup) -> Vec<Row> {
    let length = length(setup.preset);
    let (recipes, variants): (&[Recipe], &[MethodVariant]) = match setup.preset {
        Preset::Smoke => (&[Recipe::Cosine, Recipe::WeightDecay, Recipe::Adam], &[STE, STOMPP]),
        Preset::Small | Preset::Medium | Preset::Paper => (Recipe::ALL, &[STE, STOMPP, STOMPP_STE]),
    };
    let recipes = recipes.iter().map(|recipe| Override::Recipe(*recipe, length));
    let changes = [Override::Length(length)].into_iter().chain(recipes);
    let base = Row::product(Setting::Bnn, &[ablation_network(setup)], ten_classes(setup), variants);
    changes
        .flat_map(|recipe| base.iter().map(move |row| row.with_override(recipe.clone())))
        .collect()
}

/// All runs of a recipe are trained before the next one begins.
fn row_plan(setup: &Setup, row: &Row) -> RowPlan {
    let place = match row.overrides {
        Override::Recipe(recipe, _) => Recipe::ALL.iter().position(|other| *other == recipe),
        _ => None,
    };
    RowPlan {
        max_seeds: if setup.preset == Preset::Small { SEEDS } else { u64::MAX },
        stage: place.map_or(0, |place| place as u32 + 1),
    }
}

/// First the contrasts of freezing with STE for each recipe, then those of each recipe with the paper's for each method.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let mut contrasts = gains(rows);
    let plain = rows.iter().filter(|row| matches!(row.overrides, Override::Length(..)));
    let over = |plain: &Row| {
        let same_method = |row: &&Row| matches!(row.overrides, Override::Recipe(..)) && row.variant == plain.variant;
        let contrast = |row: &Row| Contrast {
            row: row.clone(),
            baseline: plain.clone(),
            published: None,
        };
        rows.iter().filter(same_method).map(contrast).collect::<Vec<_>>()
    };
    contrasts.extend(plain.flat_map(over));
    contrasts
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let test = |contrast: &Contrast| {
        let (row, baseline) = (contrast.row.method_title(), contrast.baseline.method_title());
        ClaimTest::positive(
            format!("{row} does better than {baseline}"),
            results.difference(contrast),
        )
    };
    Ok(results.contrasts().iter().map(test).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipe_is_compared_between_methods_and_with_the_paper_s() {
        let setup = Setup {
            data: Some("cifar".into()),
            ..Setup::new(Preset::Small)
        };
        let rows = rows(&setup);
        let recipes = Recipe::ALL.len();
        assert_eq!(rows.len(), 3 * (recipes + 1));
        // StoMPP and StoMPP+STE over STE with each recipe; each method's other recipes over the paper's.
        assert_eq!(contrasts(&rows).len(), 2 * (recipes + 1) + 3 * recipes);
        assert_eq!(
            RECIPE.experiment(&Setup { seeds: 9, ..setup }).runs.len(),
            3 * rows.len()
        );
    }
}
