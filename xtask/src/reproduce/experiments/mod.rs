//! Experiments are values: a question, the rows of a table, what is compared in it, and what the paper claims of it.

mod blockade;
mod depth;
mod dynamics;
mod length;
mod lr;
mod order;
mod recipe;
mod schedule;
mod ste;
mod table1;
mod table2;

use super::cell::Cell;
use super::finding::Finding;
use super::preset::{Preset, Scale};
use super::published;
use super::row::{Images, Knob, Procedure, Row};
use super::study::Study;
use anyhow::Result;
use stompp_train::config::{Dataset, Model, Order, Setting, Surrogate};

/// One table of the paper, or one of its ablations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Experiment {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// The heading of its report.
    pub(crate) title: &'static str,
    /// What it asks.
    pub(crate) question: &'static str,
    /// Its rows at a scale, in the order of the table.
    pub(crate) rows: fn(&Scale) -> Vec<Row>,
    /// How many seeds a row is run with, and when.
    pub(crate) extent: fn(&Scale, &Row) -> Extent,
    /// What the paper publishes for a row.
    pub(crate) published: fn(&Row) -> Option<f64>,
    /// Which of its rows are compared.
    pub(crate) contrasts: fn(&[Row]) -> Vec<Contrast>,
    /// What its runs say of the paper's claims.
    pub(crate) findings: fn(&Study<'_>) -> Result<Vec<Finding>>,
    /// Further tables of its report.
    pub(crate) extras: &'static [Extra],
    /// What its report draws.
    pub(crate) figures: &'static [Figure],
}

/// How many seeds a row is run with, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Seeds at most, however many are asked for.
    pub(crate) seeds: u64,
    /// Rows of a lower stage are run first, every seed of them.
    pub(crate) stage: u32,
}

/// A difference of two rows of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Contrast {
    pub(crate) row: Row,
    /// What is subtracted.
    pub(crate) baseline: Row,
    /// The published difference in points, where it is known.
    pub(crate) published: Option<f64>,
}

/// A table that not every report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Accuracy and loss on the training images beside those on the test images.
    Learned,
    /// Gradient norms at the first convolution, and where runs diverged.
    Gradients,
}

/// What a report can draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Test accuracy along the training, with commits marked; a panel for each network and setting.
    Accuracy,
    /// The gain of StoMPP over STE against the network's depth.
    GainByDepth,
    /// The gain over STE against the epochs of training; a panel for each network and training set.
    LeadByLength,
    /// Accuracy on test and training images against the epochs of training, likewise.
    LearnedByLength,
    /// Each unit's frozen fraction beside its target p(t).
    FrozenFraction,
    /// How many entries of each unit's mask changed, along the training.
    MaskFlips,
    /// Norm of each unit's weight gradient along the training; a panel for each order.
    GradientNorms,
    /// Training speed against the share of committed units.
    Speed,
    /// Test images, and what a network says of them.
    Samples,
}

/// Every experiment, in the order of `all`.
pub(crate) const ALL: &[Experiment] = &[
    table1::TABLE1,
    table2::TABLE2,
    depth::DEPTH,
    order::ORDER,
    schedule::SCHEDULE,
    lr::LR,
    dynamics::DYNAMICS,
    blockade::BLOCKADE,
    length::LENGTH,
    ste::STE,
    recipe::RECIPE,
];

impl Experiment {
    /// Its rows at the paper's own scale: what is published of it.
    pub(crate) fn papers_rows(&self) -> Vec<Row> {
        (self.rows)(&Scale::new(Preset::Paper))
    }

    /// Every run of the experiment, in the order of the table, all rows of a seed before the next seed's.
    pub(crate) fn cells(&self, scale: &Scale) -> Vec<Cell> {
        let rows = (self.rows)(scale);
        let cell = |row: &Row, seed| {
            let Extent { seeds, stage } = (self.extent)(scale, row);
            let mut cell = Cell::new(*row, seed, scale);
            cell.stage = stage;
            (seed < seeds).then_some(cell)
        };
        (0..scale.seeds)
            .flat_map(|seed| rows.iter().filter_map(move |row| cell(row, seed)))
            .collect()
    }
}

/// The baseline at our scales. Its gradient through activations is clipped (*ours*): with the identity, deep networks do not leave
/// chance in short runs.
const STE: Procedure = Procedure::Ste(Surrogate::Clipped);
const STOMPP: Procedure = Procedure::Stompp(Order::Forward);
const STOMPP_STE: Procedure = Procedure::StomppSte(Order::Forward, Surrogate::Clipped);

/// The CIFAR ResNet of this depth, 6n+2.
fn cifar(depth: usize) -> Model {
    Model::Cifar {
        blocks: (depth - 2) / 6,
    }
}

/// What experiments train on at our scales: CIFAR-10, or what stands for it without data.
fn ten_classes(scale: &Scale) -> Images {
    Images::Set(match scale.data {
        Some(_) => Dataset::Cifar10,
        None => Dataset::Synthetic10,
    })
}

/// What an ablation trains on: the paper's CIFAR-100 at its scale, ten classes at ours.
fn ablation_images(scale: &Scale) -> Images {
    match scale.preset {
        Preset::Smoke | Preset::Small | Preset::Medium => ten_classes(scale),
        Preset::Paper => Images::CIFAR100,
    }
}

/// The network of an ablation.
fn ablation_network(scale: &Scale) -> Model {
    match scale.preset {
        Preset::Smoke | Preset::Small | Preset::Medium => cifar(20),
        Preset::Paper => Model::ResNet18,
    }
}

/// A row for each network and procedure.
fn product(setting: Setting, networks: &[Model], images: Images, procedures: &[Procedure]) -> Vec<Row> {
    let row = |&network, &procedure| Row {
        network,
        images,
        setting,
        procedure,
        knob: Knob::Preset,
    };
    networks
        .iter()
        .flat_map(|network| procedures.iter().map(move |procedure| row(network, procedure)))
        .collect()
}

/// What freezing gains over each baseline: StoMPP over every STE of its network, StoMPP+STE over the STE with its gradient.
fn gains(rows: &[Row]) -> Vec<Contrast> {
    let baselines = rows.iter().filter(|row| row.procedure.method() == STE.method());
    baselines
        .flat_map(|baseline| {
            let alike = |row: &&Row| {
                Row {
                    procedure: baseline.procedure,
                    ..**row
                } == *baseline
            };
            let wanted = |row: &&Row| match row.procedure {
                Procedure::Float | Procedure::Ste(_) => false,
                Procedure::Stompp(order) => order == Order::Forward,
                Procedure::StomppSte(order, _) => {
                    order == Order::Forward && row.procedure.surrogate() == baseline.procedure.surrogate()
                }
            };
            rows.iter().filter(alike).filter(wanted).map(|row| Contrast {
                row: *row,
                baseline: *baseline,
                published: published::gain(row, baseline),
            })
        })
        .collect()
}

/// The claim of each contrast that the row does better than its baseline.
fn does_better(study: &Study<'_>) -> Result<Vec<Finding>> {
    let finding = |contrast: &Contrast| {
        let (row, baseline) = (contrast.row.method_title(), contrast.baseline.method_title());
        Finding::positive(
            format!("{row} does better than {baseline} ({})", contrast.row.place()),
            &study.difference(contrast),
        )
    };
    Ok(study.contrasts().iter().map(finding).collect())
}

/// Every row with all seeds that are asked for, none before the others.
fn every_seed(_: &Scale, _: &Row) -> Extent {
    Extent {
        seeds: u64::MAX,
        stage: 0,
    }
}

/// No contrast.
fn none(_: &[Row]) -> Vec<Contrast> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::collections::{HashMap, HashSet};
    use std::path::PathBuf;

    fn scale(preset: Preset, data: bool) -> Scale {
        let place = |name: &str| data.then(|| PathBuf::from(name));
        Scale {
            data: place("cifar"),
            imagenet: place("imagenet"),
            seeds: 2,
            ..Scale::new(preset)
        }
    }

    #[test]
    fn every_cell_of_every_experiment_has_its_own_name_and_can_be_run() {
        for experiment in ALL {
            for &preset in Preset::value_variants() {
                let cells = experiment.cells(&scale(preset, true));
                assert!(!cells.is_empty());
                let names: HashSet<_> = cells.iter().map(Cell::name).collect();
                assert_eq!(names.len(), cells.len(), "{} {preset}", experiment.name);
                for cell in cells {
                    let config = cell.config().expect("there are images");
                    config
                        .check()
                        .unwrap_or_else(|error| panic!("{}: {error}", cell.name()));
                    assert_eq!(config.seed, cell.seed);
                }
            }
        }
    }

    #[test]
    fn the_same_name_means_the_same_run() {
        for &preset in Preset::value_variants() {
            let mut known: HashMap<String, Cell> = HashMap::new();
            let mut shared = 0;
            for cell in ALL.iter().flat_map(|experiment| experiment.cells(&scale(preset, true))) {
                if let Some(before) = known.insert(cell.name(), cell.clone()) {
                    assert_eq!(before.work, cell.work, "{}", cell.name());
                    shared += 1;
                }
            }
            assert!(shared > 20, "{preset}: experiments share runs");
        }
    }

    #[test]
    fn smoke_needs_no_data_and_uses_it_if_given() {
        let names = |data| {
            let cells = table1::TABLE1.cells(&scale(Preset::Smoke, data));
            cells.iter().map(Cell::name).collect::<Vec<_>>()
        };
        let expected = [
            "resnet8-synthetic10-bnn-ste-clipped-seed0",
            "resnet8-synthetic10-bnn-stompp-forward-seed0",
            "resnet8-synthetic10-bnn-stompp-ste-clipped-forward-seed0",
            "resnet20-synthetic10-bnn-ste-clipped-seed0",
            "resnet20-synthetic10-bnn-stompp-forward-seed0",
            "resnet20-synthetic10-bnn-stompp-ste-clipped-forward-seed0",
            "resnet20-synthetic10-bnn-stompp-reverse-seed0",
        ];
        assert_eq!(names(false)[..7], expected);
        assert_eq!(names(false).len(), 14, "two seeds");
        assert_eq!(
            names(true)[..7],
            expected.map(|name| name.replace("synthetic", "cifar"))
        );
    }

    #[test]
    fn a_gain_is_over_the_baseline_of_the_same_network_and_gradient() {
        let rows = (table1::TABLE1.rows)(&scale(Preset::Paper, true));
        let contrasts = gains(&rows);
        // Of each network and images: STE by the identity and clipped, each beside StoMPP and its own StoMPP+STE.
        assert_eq!(contrasts.len(), 2 * 3 * 4);
        for Contrast {
            row,
            baseline,
            published,
        } in contrasts
        {
            assert_eq!((row.network, row.images), (baseline.network, baseline.images));
            if let Some(surrogate) = row.procedure.surrogate() {
                assert_eq!(Some(surrogate), baseline.procedure.surrogate());
            }
            let clipped = baseline.procedure == STE;
            assert!(
                !(clipped && published.is_some()),
                "what is published is over the identity"
            );
        }
    }
}
