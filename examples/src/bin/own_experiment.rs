//! Your own experiment: two methods, two seeds, a report with their difference.
//!
//! `cargo run --release -p stompp-examples --bin own_experiment [DIRECTORY]`
//!
//! You can stop it at any time: the same command continues it. The runs of an experiment and the comparisons in its report are data.

use std::sync::{Arc, atomic::AtomicBool};
use stompp_experiments::{
    ClaimTest, Contrast, Experiment, Figure, Images, MethodVariant, Override, PAGE, Preset, Row, Setup, Sweep,
    SweepOptions, trainer,
};
use stompp_train::config::{Dataset, Model, Order, Setting, Surrogate, Time};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args_os()
        .nth(1)
        .unwrap_or_else(|| "runs/own-experiment".into());

    // Shared by all runs: any field of `stompp_train::RunConfig`. The images are generated; for real ones set `setup.data`.
    let mut setup = Setup {
        name: "short".to_owned(),
        seeds: 2,
        ..Setup::new(Preset::Smoke)
    };
    let config = &mut setup.base;
    (config.data.train_limit, config.data.test_limit) = (Some(1000), Some(500));
    config.network.width = Some(4);
    config.training.duration = Time::Epochs(2.0);

    // One row of the table per network and method. An override changes any field, under a name.
    let methods = [
        MethodVariant::Ste(Surrogate::Clipped),
        MethodVariant::Stompp(Order::Forward),
    ];
    let resnet8 = Model::Cifar { blocks: 1 };
    let rows: Vec<_> = Row::product(Setting::Bnn, &[resnet8], Images::Set(Dataset::Synthetic10), &methods)
        .iter()
        .map(|row| {
            row.with_override(Override::custom("m0.8", "momentum 0.8", |config| {
                config.training.momentum = 0.8;
            }))
        })
        .collect();

    let experiment = Experiment {
        question: "Does a short training by StoMPP beat STE?".to_owned(),
        contrasts: vec![Contrast {
            row: rows[1].clone(),
            baseline: rows[0].clone(),
            published: None,
        }],
        claims: |results| {
            let difference = results.difference(&results.contrasts()[0]);
            Ok(vec![ClaimTest::positive("StoMPP beats STE".to_owned(), difference)])
        },
        figures: vec![Figure::Accuracy, Figure::FrozenFraction],
        ..Experiment::new("freezing", "Freezing beside STE", rows, &setup)
    };

    // Each run has a directory. A finished run is not trained again.
    let mut sweep = Sweep::open(vec![experiment], setup, SweepOptions::new(out))?;
    let stop = Arc::new(AtomicBool::new(false)); // If set, for example by a signal handler, every run writes a checkpoint.
    println!("{}", sweep.run(&trainer(stop))?);
    println!("Open {}", sweep.report_folder().join(PAGE).display());
    Ok(())
}
