//! Length: the lead of freezing over STE against the epochs of training.

use super::{
    Contrast, Experiment, Extent, Extra, Figure, STE, STOMPP, STOMPP_STE, ablation_network, cifar, every_seed, gains,
    product, ten_classes,
};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::{Preset, Scale};
use crate::reproduce::row::{Knob, Procedure, Regime, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Model, Setting, Surrogate};

pub(super) const LENGTH: Experiment = Experiment {
    name: "length",
    title: "Length: the lead over STE against the epochs of training",
    question: "Does what freezing gains over STE last when the training is longer?",
    rows,
    extent,
    published: |_| None,
    contrasts: gains,
    findings,
    extras: &[Extra::Learned],
    figures: &[Figure::LeadByLength, Figure::LearnedByLength],
};

const IDENTITY: Procedure = Procedure::Ste(Surrogate::Identity);

/// One part of the experiment: a network at some lengths, with these seeds at most.
struct Part {
    depth: usize,
    regime: Regime,
    epochs: u16,
    seeds: u64,
    identity: bool,
}

const fn part(depth: usize, regime: Regime, epochs: u16, seeds: u64) -> Part {
    Part {
        depth,
        regime,
        epochs,
        seeds,
        identity: false,
    }
}

/// The parts at preset `small`, in the order in which they are run: what costs little and says much comes first.
const SMALL: [Part; 12] = [
    part(20, Regime::Full, 3, 5),
    part(20, Regime::Full, 6, 5),
    part(20, Regime::Full, 12, 5),
    part(20, Regime::Few, 6, 3),
    part(20, Regime::Few, 24, 3),
    part(8, Regime::Full, 6, 3),
    part(8, Regime::Full, 24, 3),
    Part {
        identity: true,
        ..part(20, Regime::Full, 24, 5)
    },
    part(32, Regime::Full, 6, 3),
    part(20, Regime::Few, 60, 3),
    part(32, Regime::Full, 24, 3),
    part(20, Regime::Full, 48, 2),
];

impl Part {
    fn rows(&self, scale: &Scale) -> Vec<Row> {
        let knob = Knob::Length(self.regime, self.epochs);
        let identity: &[_] = if self.identity { &[IDENTITY] } else { &[] };
        let procedures = [identity, &[STE, STOMPP, STOMPP_STE]].concat();
        let rows = product(Setting::Bnn, &[cifar(self.depth)], ten_classes(scale), &procedures);
        rows.into_iter().map(|row| Row { knob, ..row }).collect()
    }

    fn has(&self, row: &Row) -> bool {
        row.network == cifar(self.depth) && row.knob == Knob::Length(self.regime, self.epochs)
    }
}

/// By network, then images, then length.
fn rows(scale: &Scale) -> Vec<Row> {
    let lengths = |network: Model, regime, epochs: &[u16]| -> Vec<Row> {
        let knobs = epochs.iter().map(|epochs| Knob::Length(regime, *epochs));
        let rows = product(Setting::Bnn, &[network], ten_classes(scale), &[STE, STOMPP, STOMPP_STE]);
        knobs
            .flat_map(|knob| rows.iter().map(move |row| Row { knob, ..*row }))
            .collect()
    };
    match scale.preset {
        Preset::Smoke => lengths(cifar(20), Regime::Few, &[3, 6]),
        Preset::Small => {
            let mut parts: Vec<_> = SMALL.iter().collect();
            parts.sort_by_key(|part| (part.depth, part.regime == Regime::Few, part.epochs));
            parts.into_iter().flat_map(|part| part.rows(scale)).collect()
        }
        Preset::Medium => lengths(cifar(20), Regime::Full, &[5, 10, 20, 40]),
        Preset::Paper => lengths(ablation_network(scale), Regime::Full, &[50, 100, 200]),
    }
}

/// Presets other than `small` run every row with every seed that is asked for.
fn extent(scale: &Scale, row: &Row) -> Extent {
    let small = scale.preset == Preset::Small;
    let place = SMALL.iter().position(|part| small && part.has(row));
    place.map_or(every_seed(scale, row), |place| Extent {
        seeds: SMALL[place].seeds,
        stage: place as u32,
    })
}

/// Of each network and training set: whether the lead over clipped STE is there at the longest training that was run, and whether it is
/// larger than at the shortest.
fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let contrasts: Vec<_> = study
        .contrasts()
        .into_iter()
        .filter(|contrast| contrast.baseline.procedure == STE)
        .collect();
    let mut findings = Vec::new();
    for (place, contrast) in contrasts.iter().enumerate() {
        if contrasts[..place]
            .iter()
            .any(|before| alike(&before.row, &contrast.row))
        {
            continue;
        }
        let lead = |contrast: &Contrast| study.pairs(&contrast.row, &contrast.baseline);
        // By rising length, as the rows are.
        let series = contrasts.iter().filter(|other| alike(&other.row, &contrast.row));
        let run: Vec<_> = series.filter(|contrast| lead(contrast).n() > 0).collect();
        let (Some(shortest), Some(longest)) = (run.first(), run.last()) else {
            continue;
        };
        let row = &longest.row;
        let method = format!("{} over {}", row.procedure_title(), longest.baseline.procedure_title());
        findings.push(Finding::positive(
            format!(
                "the lead of {method} is there after {} ({})",
                row.knob,
                row.network_title()
            ),
            &lead(longest).summary(),
        ));
        if run.len() > 1 {
            findings.push(Finding::positive(
                format!(
                    "the lead of {method} is larger after {} than after {} ({})",
                    row.knob,
                    shortest.row.knob,
                    row.network_title()
                ),
                &lead(longest).minus(&lead(shortest)).summary(),
            ));
        }
    }
    Ok(findings)
}

/// Whether two rows differ in nothing but the number of epochs.
fn alike(a: &Row, b: &Row) -> bool {
    let regime = |row: &Row| match row.knob {
        Knob::Length(regime, _) => Some(regime),
        _ => None,
    };
    let knob = Knob::Preset;
    Row { knob, ..*a } == Row { knob, ..*b } && regime(a) == regime(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::cell::Cell;
    use std::collections::BTreeMap;

    fn cells(seeds: u64) -> Vec<Cell> {
        let scale = Scale {
            data: Some("cifar".into()),
            seeds,
            ..Scale::new(Preset::Small)
        };
        LENGTH.cells(&scale)
    }

    #[test]
    fn each_length_has_its_seeds_and_no_more() {
        let mut seeds: BTreeMap<_, u64> = BTreeMap::new();
        for cell in cells(100) {
            if cell.row.procedure == STOMPP {
                let Knob::Length(regime, epochs) = cell.row.knob else {
                    panic!("{} has a length", cell.name());
                };
                *seeds
                    .entry((cell.row.network.depth(), regime == Regime::Full, epochs))
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
            cells(1).len(),
            3 * expected.len() + 1,
            "and STE by the identity at one length"
        );
    }

    #[test]
    fn a_length_is_whole_before_the_next_one_begins() {
        let mut cells = cells(5);
        cells.sort_by_key(|cell| (cell.stage, cell.seed));
        let lengths: Vec<_> = cells.iter().map(|cell| (cell.row.network, cell.row.knob)).collect();
        let mut runs = lengths.clone();
        runs.dedup();
        assert_eq!(runs.len(), SMALL.len());
        assert_eq!(lengths[0], (cifar(20), Knob::Length(Regime::Full, 3)));
    }
}
