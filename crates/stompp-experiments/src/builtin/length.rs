//! Length: the lead of freezing over STE against the number of epochs.

use super::definition::{
    Builtin, RowPlan, STE, STOMPP, STOMPP_STE, ablation_network, cifar, every_seed, gains, over_clipped_ste,
    ten_classes,
};
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::{ExtraTable, Figure};
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::overrides::{Length, Override, TrainingSet};
use crate::row::{MethodVariant, Row};
use crate::setup::{Preset, Setup};
use stompp_train::config::{Model, Setting, Surrogate};

pub(super) const LENGTH: Builtin = Builtin {
    name: "length",
    title: "Length: the lead over STE against the epochs of training",
    question: "Does what freezing gains over STE last when the training is longer?",
    rows,
    row_plan,
    published: |_| None,
    contrasts: gains,
    claims,
    extra_tables: &[ExtraTable::TrainingAccuracy],
    figures: &[Figure::GainByEpochs, Figure::AccuracyByEpochs],
};

const IDENTITY: MethodVariant = MethodVariant::Ste(Surrogate::Identity);

/// A network, its length of training, and its maximum number of seeds.
struct Part {
    depth: usize,
    length: Length,
    max_seeds: u64,
    /// Whether STE with the identity is also trained.
    identity: bool,
}

const fn part(depth: usize, length: Length, max_seeds: u64) -> Part {
    Part {
        depth,
        length,
        max_seeds,
        identity: false,
    }
}

/// The parts at preset `small`, in the order of training: cheap and informative parts first.
const SMALL: [Part; 12] = [
    part(20, Length::full(3), 5),
    part(20, Length::full(6), 5),
    part(20, Length::full(12), 5),
    part(20, Length::few(6), 3),
    part(20, Length::few(24), 3),
    part(8, Length::full(6), 3),
    part(8, Length::full(24), 3),
    Part {
        identity: true,
        ..part(20, Length::full(24), 5)
    },
    part(32, Length::full(6), 3),
    part(20, Length::few(60), 3),
    part(32, Length::full(24), 3),
    part(20, Length::full(48), 2),
];

impl Part {
    fn rows(&self, setup: &Setup) -> Vec<Row> {
        let identity: &[_] = if self.identity { &[IDENTITY] } else { &[] };
        let variants = [identity, &[STE, STOMPP, STOMPP_STE]].concat();
        let rows = Row::product(Setting::Bnn, &[cifar(self.depth)], ten_classes(setup), &variants);
        rows.iter()
            .map(|row| row.with_override(Override::Length(self.length)))
            .collect()
    }

    fn has(&self, row: &Row) -> bool {
        row.network == cifar(self.depth).into() && row.overrides == Override::Length(self.length)
    }
}

/// The rows, ordered by network, then images, then length.
fn rows(setup: &Setup) -> Vec<Row> {
    let lengths = |network: Model, lengths: &[Length]| -> Vec<Row> {
        let rows = Row::product(Setting::Bnn, &[network], ten_classes(setup), &[STE, STOMPP, STOMPP_STE]);
        lengths
            .iter()
            .flat_map(|length| rows.iter().map(move |row| row.with_override(Override::Length(*length))))
            .collect()
    };
    match setup.preset {
        Preset::Smoke => lengths(cifar(20), &[3, 6].map(Length::few)),
        Preset::Small => {
            let mut parts: Vec<_> = SMALL.iter().collect();
            parts.sort_by_key(|part| (part.depth, part.length.images == TrainingSet::Few, part.length.epochs));
            parts.into_iter().flat_map(|part| part.rows(setup)).collect()
        }
        Preset::Medium => lengths(cifar(20), &[5, 10, 20, 40].map(Length::full)),
        Preset::Paper => lengths(ablation_network(setup), &[50, 100, 200].map(Length::full)),
    }
}

/// Presets other than `small` train every row with every seed.
fn row_plan(setup: &Setup, row: &Row) -> RowPlan {
    let small = setup.preset == Preset::Small;
    let place = SMALL.iter().position(|part| small && part.has(row));
    place.map_or(every_seed(setup, row), |place| RowPlan {
        max_seeds: SMALL[place].max_seeds,
        stage: place as u32,
    })
}

/// Two claims for each network and training set: there is a lead over clipped STE after the longest training, and it is larger than after
/// the shortest.
fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let contrasts = over_clipped_ste(results);
    let mut claims = Vec::new();
    for (place, contrast) in contrasts.iter().enumerate() {
        if contrasts[..place]
            .iter()
            .any(|before| differ_in_epochs_only(&before.row, &contrast.row))
        {
            continue;
        }
        let lead = |contrast: &Contrast| results.pairs(&contrast.row, &contrast.baseline);
        // In order of length, like the rows.
        let series = contrasts
            .iter()
            .filter(|other| differ_in_epochs_only(&other.row, &contrast.row));
        let run: Vec<_> = series.filter(|contrast| lead(contrast).n() > 0).collect();
        let (Some(shortest), Some(longest)) = (run.first(), run.last()) else {
            continue;
        };
        let row = &longest.row;
        let method = format!("{} over {}", row.variant_title(), longest.baseline.variant_title());
        claims.push(ClaimTest::positive(
            format!(
                "the lead of {method} is there after {} ({})",
                row.overrides,
                row.network_title()
            ),
            lead(longest).summary(),
        ));
        if run.len() > 1 {
            claims.push(ClaimTest::positive(
                format!(
                    "the lead of {method} is larger after {} than after {} ({})",
                    row.overrides,
                    shortest.row.overrides,
                    row.network_title()
                ),
                lead(longest).minus(&lead(shortest)).summary(),
            ));
        }
    }
    Ok(claims)
}

/// Whether two rows differ only in the number of epochs.
fn differ_in_epochs_only(a: &Row, b: &Row) -> bool {
    let images = |row: &Row| match row.overrides {
        Override::Length(length) => Some(length.images),
        _ => None,
    };
    a.with_override(Override::None) == b.with_override(Override::None) && images(a) == images(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_spec::RunSpec;
    use std::collections::BTreeMap;

    fn runs(seeds: u64) -> Vec<RunSpec> {
        let setup = Setup {
            data: Some("cifar".into()),
            seeds,
            ..Setup::new(Preset::Small)
        };
        LENGTH.experiment(&setup).runs
    }

    #[test]
    fn each_length_has_its_seeds_and_no_more() {
        let mut seeds: BTreeMap<_, u64> = BTreeMap::new();
        for run in runs(100) {
            if run.row.variant == STOMPP {
                let Override::Length(Length { images, epochs }) = run.row.overrides else {
                    panic!("{} has a length", run.name());
                };
                *seeds
                    .entry((run.row.depth().unwrap(), images == TrainingSet::Full, epochs))
                    .or_default() += 1;
            }
        }
        let expected = [
            ((8, true, 6), 3),
            ((8, true, 24), 3),
            ((20, false, 6), 3),
            ((20, false, 24), 3),
            ((20, false, 60), 3),
            ((20, true, 3), 5),
            ((20, true, 6), 5),
            ((20, true, 12), 5),
            ((20, true, 24), 5),
            ((20, true, 48), 2),
            ((32, true, 6), 3),
            ((32, true, 24), 3),
        ];
        assert_eq!(seeds.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(
            runs(1).len(),
            3 * expected.len() + 1,
            "and STE by the identity at one length"
        );
    }

    #[test]
    fn a_length_is_whole_before_the_next_one_begins() {
        let mut runs = runs(5);
        runs.sort_by_key(|run| (run.stage, run.seed));
        let lengths: Vec<_> = runs
            .iter()
            .map(|run| (run.row.network.clone(), run.row.overrides.clone()))
            .collect();
        let mut parts = lengths.clone();
        parts.dedup();
        assert_eq!(parts.len(), SMALL.len());
        assert_eq!(lengths[0], (cifar(20).into(), Override::Length(Length::full(3))));
    }
}
