//! The experiments of the paper, one file each. Copy one to write your own.

mod blockade;
mod definition;
mod depth;
mod dynamics;
mod length;
mod lr;
mod order;
mod pretrained;
mod published;
mod recipe;
mod schedule;
mod ste;
mod table1;
mod table2;

pub use definition::Builtin;

/// Every built-in experiment, in the order of `cargo xtask reproduce all`.
pub const ALL: &[Builtin] = &[
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
    pretrained::PRETRAINED,
];

#[cfg(test)]
mod tests {
    use super::definition::{STE, gains};
    use super::*;
    use crate::experiment_results::Contrast;
    use crate::run_spec::RunSpec;
    use crate::setup::{Preset, Setup};
    use std::collections::{HashMap, HashSet};
    use std::path::PathBuf;

    fn setup(preset: Preset, data: bool) -> Setup {
        let place = |name: &str| data.then(|| PathBuf::from(name));
        Setup {
            data: place("cifar"),
            imagenet: place("imagenet"),
            seeds: 2,
            ..Setup::new(preset)
        }
    }

    #[test]
    fn every_run_of_every_experiment_has_its_own_name_and_can_be_trained() {
        for experiment in ALL {
            for &preset in Preset::ALL {
                let runs = experiment.experiment(&setup(preset, true)).runs;
                assert!(!runs.is_empty());
                let names: HashSet<_> = runs.iter().map(RunSpec::name).collect();
                assert_eq!(names.len(), runs.len(), "{} {preset}", experiment.name);
                for run in runs {
                    let config = run.config().expect("there are images");
                    config.check().unwrap_or_else(|error| panic!("{}: {error}", run.name()));
                    assert_eq!(config.seed, run.seed);
                }
            }
        }
    }

    #[test]
    fn the_same_name_means_the_same_run() {
        for &preset in Preset::ALL {
            let mut known: HashMap<String, RunSpec> = HashMap::new();
            let mut shared = 0;
            for run in ALL
                .iter()
                .flat_map(|experiment| experiment.experiment(&setup(preset, true)).runs)
            {
                if let Some(before) = known.insert(run.name(), run.clone()) {
                    assert_eq!(before.work, run.work, "{}", run.name());
                    shared += 1;
                }
            }
            assert!(shared > 20, "{preset}: experiments share runs");
        }
    }

    #[test]
    fn smoke_needs_no_data_and_uses_it_if_given() {
        let names = |data| {
            let runs = table1::TABLE1.experiment(&setup(Preset::Smoke, data)).runs;
            runs.iter().map(RunSpec::name).collect::<Vec<_>>()
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
        let rows = (table1::TABLE1.rows)(&setup(Preset::Paper, true));
        let contrasts = gains(&rows);
        // Of each network and images: STE by the identity and clipped, each beside StoMPP and its own StoMPP+STE.
        assert_eq!(contrasts.len(), 2 * 3 * 4);
        for Contrast {
            row,
            baseline,
            published,
        } in contrasts
        {
            assert_eq!((&row.network, row.images), (&baseline.network, baseline.images));
            if let Some(surrogate) = row.variant.surrogate() {
                assert_eq!(Some(surrogate), baseline.variant.surrogate());
            }
            let clipped = baseline.variant == STE;
            assert!(
                !(clipped && published.is_some()),
                "what is published is over the identity"
            );
        }
    }
}
