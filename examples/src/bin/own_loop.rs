//! Your own training loop, with graph, network, freezer, optimizer and loss as a library.
//!
//! `cargo run --release -p stompp-examples --bin own_loop`

use stompp_binarize::{Binarization, EvalMode, Freezable, Freezer, Network};
use stompp_data::{Loader, Position};
use stompp_examples::{shapes, vgg_small};
use stompp_nn::dfdx::prelude::Backward;
use stompp_nn::optim::{Optimizer, Sgd};
use stompp_nn::{SwitchTape, ops};

const STEPS: u64 = 120;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Like torch.utils.data: data sets with transforms, and a loader with workers.
    let (train, test) = shapes(2000, 500)?;
    let loader = Loader {
        batch_size: 50,
        workers: 1,
    };

    let device = stompp_nn::cpu();
    let graph = vgg_small(32, 8, 10)?;
    let mut network = Network::new(&device, &graph, Binarization::BNN, 0)?;
    // The schedule: units freeze from the first to the last, on a cubic curve. Masks lag behind it by about a tenth of a window.
    let freezer = Freezer::for_network(&mut network, STEPS, "0.1w".parse()?)?;
    let mut optimizer = Sgd::new(0.02, 0.9);

    let batches = loader.train(train, 0, Position::default())?;
    for (step, batch) in (0..STEPS).zip(batches) {
        let batch = batch?;
        freezer.apply(step, &mut network)?;
        let images = stompp_nn::tensor(&device, &batch.images, batch.shape.into())?;
        let logits = network.forward_train(images)?;
        let loss = ops::cross_entropy(logits, &batch.labels)?;
        if step % 20 == 0 {
            println!("step {step}: loss {:.2}", loss.as_vec()[0]);
        }
        // Committed layers are not on the tape. The last layer always is.
        let mut gradients = SwitchTape::into_owned_tape(loss)
            .expect("the last layer always learns")
            .backward();
        optimizer.step(&device, &mut network, &mut gradients)?;
    }

    network.commit_all();
    let (mut right, mut seen) = (0, 0);
    for batch in loader.evaluate(test)? {
        let batch = batch?;
        let images = stompp_nn::tensor(&device, &batch.images, batch.shape.into())?;
        let logits = network.evaluate(images, EvalMode::Binarized)?.as_vec();
        for (row, label) in logits.chunks(10).zip(&batch.labels) {
            let best = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            right += usize::from(best == Some(*label));
            seen += 1;
        }
    }
    println!(
        "top-1 of the binary network: {:.1} % of {seen} images",
        100.0 * right as f64 / seen as f64
    );
    Ok(())
}
