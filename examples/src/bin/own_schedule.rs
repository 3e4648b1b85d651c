//! Your own curve and order of freezing: from both ends to the middle, with overlapping windows.
//!
//! `cargo run --release -p stompp-examples --bin own_schedule`

use std::ops::Range;
use stompp_binarize::{Binarization, Freezable, Freezer, Network};
use stompp_data::{Loader, Position};
use stompp_examples::{shapes, vgg_small};
use stompp_nn::optim::Sgd;
use stompp_schedule::Schedule;
use stompp_train::Trainer;

const STEPS: u64 = 150;

/// Freezes the units 0, n-1, 1, n-2 and so on, on a sine curve. Each begins when the previous one is half done.
struct Inwards {
    units: usize,
}

impl Schedule for Inwards {
    fn units(&self) -> usize {
        self.units
    }

    fn window(&self, unit: usize) -> Range<u64> {
        let turn = if unit < self.units.div_ceil(2) {
            2 * unit
        } else {
            2 * (self.units - 1 - unit) + 1
        };
        // Everything is committed for the last tenth of the training.
        let half = STEPS * 9 / 10 / (self.units as u64 + 1);
        let start = turn as u64 * half;
        start..start + 2 * half
    }

    fn fraction(&self, _unit: usize, x: f64) -> f64 {
        (x * std::f64::consts::FRAC_PI_2).sin()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = shapes(2000, 500)?;
    let loader = Loader {
        batch_size: 50,
        workers: 1,
    };

    let graph = vgg_small(32, 8, 10)?;
    let mut network = Network::new(&stompp_nn::cpu(), &graph, Binarization::BNN, 0)?;
    let schedule = Inwards {
        units: network.units().len(),
    };
    for unit in 0..schedule.units() {
        println!("unit {unit} freezes in steps {:?}", schedule.window(unit));
    }
    let freezer = Freezer::new(schedule, "0.1w".parse()?, 0);
    let mut trainer = Trainer::new(network, Sgd::new(0.02, 0.9), freezer);
    for (step, batch) in (0..STEPS).zip(loader.train(train, 0, Position::default())?) {
        let report = trainer.step(step, &batch?)?;
        if step % 25 == 0 {
            println!(
                "step {step}: loss {:.2}, {} units committed",
                report.loss, report.committed
            );
        }
    }
    trainer.commit();
    let score = trainer.evaluate(loader.evaluate(test)?)?;
    println!(
        "top-1 of the binary network: {:.1} % of {} images",
        score.top1, score.images
    );
    Ok(())
}
