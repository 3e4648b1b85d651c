//! Recipe: what the field's training recipes do to STE and to freezing.

use super::{Contrast, Experiment, Extent, STE, STOMPP, STOMPP_STE, ablation_network, gains, product, ten_classes};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::recipe::Recipe;
use crate::reproduce::row::{Knob, Procedure, Regime, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::Setting;

pub(super) const RECIPE: Experiment = Experiment {
    name: "recipe",
    title: "Recipe: what the field's training recipes do to STE and to StoMPP",
    question: "Does what freezing gains over STE depend on the paper's plain recipe?",
    rows,
    extent,
    published: |_| None,
    contrasts,
    findings,
    extras: &[],
    figures: &[],
};

/// Seeds at preset `small`.
const SEEDS: u64 = 3;

/// Which images, and how many epochs.
fn length(preset: Preset) -> (Regime, u16) {
    match preset {
        Preset::Smoke => (Regime::Few, 3),
        Preset::Small => (Regime::Full, 24),
        Preset::Medium => (Regime::Full, 20),
        Preset::Paper => (Regime::Full, 200),
    }
}

/// The paper's recipe first; it shares its runs with `length`.
fn rows(scale: &Scale) -> Vec<Row> {
    let length = length(scale.preset);
    let (recipes, procedures): (&[Recipe], &[Procedure]) = match scale.preset {
        Preset::Smoke => (&[Recipe::Cosine, Recipe::WeightDecay, Recipe::Adam], &[STE, STOMPP]),
        Preset::Small | Preset::Medium | Preset::Paper => (&Recipe::ALL, &[STE, STOMPP, STOMPP_STE]),
    };
    let recipes = recipes.iter().map(|recipe| Knob::Recipe(*recipe, length));
    let knobs = [Knob::Length(length.0, length.1)].into_iter().chain(recipes);
    let base = product(Setting::Bnn, &[ablation_network(scale)], ten_classes(scale), procedures);
    knobs
        .flat_map(|knob| base.iter().map(move |row| Row { knob, ..*row }))
        .collect()
}

/// A recipe is run whole before the next one begins.
fn extent(scale: &Scale, row: &Row) -> Extent {
    let place = match row.knob {
        Knob::Recipe(recipe, _) => Recipe::ALL.iter().position(|other| *other == recipe),
        _ => None,
    };
    Extent {
        seeds: if scale.preset == Preset::Small { SEEDS } else { u64::MAX },
        stage: place.map_or(0, |place| place as u32 + 1),
    }
}

/// What freezing gains with each recipe, then what each recipe gains over the paper's with each method.
fn contrasts(rows: &[Row]) -> Vec<Contrast> {
    let mut contrasts = gains(rows);
    let plain = rows.iter().filter(|row| matches!(row.knob, Knob::Length(..)));
    let over = |plain: &Row| {
        let alike = |row: &&Row| matches!(row.knob, Knob::Recipe(..)) && row.procedure == plain.procedure;
        let contrast = |row: &Row| Contrast {
            row: *row,
            baseline: *plain,
            published: None,
        };
        rows.iter().filter(alike).map(contrast).collect::<Vec<_>>()
    };
    contrasts.extend(plain.flat_map(over));
    contrasts
}

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let finding = |contrast: &Contrast| {
        let (row, baseline) = (contrast.row.method_title(), contrast.baseline.method_title());
        Finding::positive(
            format!("{row} does better than {baseline}"),
            &study.difference(contrast),
        )
    };
    Ok(study.contrasts().iter().map(finding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipe_is_compared_between_methods_and_with_the_paper_s() {
        let scale = Scale {
            data: Some("cifar".into()),
            ..Scale::new(Preset::Small)
        };
        let rows = rows(&scale);
        let recipes = Recipe::ALL.len();
        assert_eq!(rows.len(), 3 * (recipes + 1));
        // StoMPP and StoMPP+STE over STE with each recipe; each method's other recipes over the paper's.
        assert_eq!(contrasts(&rows).len(), 2 * (recipes + 1) + 3 * recipes);
        assert_eq!(RECIPE.cells(&Scale { seeds: 9, ..scale }).len(), 3 * rows.len());
    }
}
