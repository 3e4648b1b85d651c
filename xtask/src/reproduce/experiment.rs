//! Experiments are values: a name, a title and the rows of a table.

use super::cell::{Cell, Work};
use super::preset::Scale;
use super::row::{Images, Row};
use super::table1::TABLE1;

/// One table of the paper, or one of its ablations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Experiment {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// The heading of its report.
    pub(crate) title: &'static str,
    /// Its rows at a scale, in the order of the table.
    pub(crate) rows: fn(&Scale) -> Vec<Row>,
}

/// Every experiment.
pub(crate) const ALL: &[Experiment] = &[TABLE1];

const NO_IMAGENET: &str = "ImageNet cannot be read yet: there is no reader for image folders";

impl Experiment {
    /// Every run of the experiment, in the order of the table, all rows of a seed before the next seed's.
    pub(crate) fn cells(&self, scale: &Scale) -> Vec<Cell> {
        let rows = (self.rows)(scale);
        (0..scale.seeds)
            .flat_map(|seed| rows.iter().map(move |row| cell(*row, seed, scale)))
            .collect()
    }
}

fn cell(row: Row, seed: u64, scale: &Scale) -> Cell {
    let work = match row.images {
        Images::ImageNet => Work::Refused(NO_IMAGENET),
        Images::Set(dataset) => {
            let mut config = scale.preset.base();
            config.seed = seed;
            config.data.dataset = dataset;
            if !dataset.is_synthetic() {
                config.data.path = scale.data.clone();
            }
            config.network.model = row.network;
            config.network.width.get_or_insert(row.network.default_width());
            config.network.setting = row.setting;
            row.procedure.configure(&mut config);
            Work::Train(Box::new(config))
        }
    };
    Cell { row, seed, work }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::preset::Preset;
    use clap::ValueEnum;
    use std::collections::HashSet;
    use std::path::PathBuf;

    fn scale(preset: Preset, data: bool) -> Scale {
        Scale {
            preset,
            data: data.then(|| PathBuf::from("cifar")),
            seeds: 2,
        }
    }

    #[test]
    fn every_cell_of_every_experiment_has_its_own_name_and_can_be_run() {
        for experiment in ALL {
            for &preset in Preset::value_variants() {
                let cells = experiment.cells(&scale(preset, true));
                let names: HashSet<_> = cells.iter().map(Cell::name).collect();
                assert_eq!(names.len(), cells.len(), "{} {preset}", experiment.name);
                for cell in cells {
                    if let Some(config) = cell.config() {
                        config
                            .check()
                            .unwrap_or_else(|error| panic!("{}: {error}", cell.name()));
                        assert_eq!(config.seed, cell.seed);
                    }
                }
            }
        }
    }

    #[test]
    fn smoke_needs_no_data_and_uses_it_if_given() {
        let names = |data| {
            let cells = TABLE1.cells(&scale(Preset::Smoke, data));
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
    fn only_imagenet_is_refused() {
        let cells = TABLE1.cells(&scale(Preset::Paper, true));
        assert!(cells.iter().any(|cell| cell.config().is_none()));
        for cell in cells {
            assert_eq!(
                cell.config().is_none(),
                cell.name().contains("imagenet"),
                "{}",
                cell.name()
            );
        }
    }
}
