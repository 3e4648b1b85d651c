//! Train on your own images, from memory, with `Trainer` instead of a hand-written loop.
//!
//! `cargo run --release -p stompp-examples --bin own_data`

use std::sync::Arc;
use stompp_binarize::{Binarization, Freezer, Network};
use stompp_data::{Augmentation, ImageExamples, ImageSet, Loader, Normalization, Position};
use stompp_graph::{Conv, GraphBuilder};
use stompp_nn::optim::Sgd;
use stompp_train::Trainer;

const SIDE: usize = 16;
const STEPS: u64 = 150;

/// Generates two classes, horizontal and vertical stripes of random color and position. Pixels are bytes, (N, 3, H, W).
fn stripes(images: usize, seed: u64) -> Result<ImageSet, Box<dyn std::error::Error>> {
    let mut random = seed;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 56) as u8
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for image in 0..images {
        let class = image % 2;
        let shift = usize::from(next());
        for _channel in 0..3 {
            let (dark, light) = (next() / 4, 128 + next() / 2);
            for at in 0..SIDE * SIDE {
                let along = if class == 0 { at / SIDE } else { at % SIDE };
                pixels.push(if (along + shift) % 4 < 2 { dark } else { light });
            }
        }
        labels.push(class as u16);
    }
    Ok(ImageSet::new("stripes", (SIDE, SIDE), 2, pixels, labels)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = (stripes(1000, 1)?, stripes(200, 2)?);
    let normalization = Normalization::new(train.channel_statistics())?;
    let augmentation = Augmentation { padding: 2 };
    let train = ImageExamples::with_augmentation(Arc::new(train), normalization.clone(), augmentation, 0);
    let test = ImageExamples::new(Arc::new(test), normalization);
    let loader = Loader {
        batch_size: 20,
        workers: 1,
    };
    let mut g = GraphBuilder::new([3, SIDE, SIDE]);
    let x = g.conv("conv1", g.input(), Conv::k3(8))?;
    let x = g.batch_norm("bn1", x)?;
    let a = g.activation("act1", x)?;
    let y = g.binary_conv("conv2", a, Conv::k3(8))?;
    let y = g.batch_norm("bn2", y)?;
    let y = g.activation("act2", y)?;
    let y = g.global_average_pool("pool", y)?;
    let logits = g.linear("fc", y, 2)?;
    let graph = g.finish(logits)?;

    let mut network = Network::new(&stompp_nn::cpu(), &graph, Binarization::BNN, 0)?;
    let freezer = Freezer::for_network(&mut network, STEPS, "0.1w".parse()?)?;
    let mut trainer = Trainer::new(network, Sgd::new(0.1, 0.9), freezer);
    let batches = loader.train(Arc::new(train), 0, Position::default())?;
    for (step, batch) in (0..STEPS).zip(batches) {
        let report = trainer.step(step, &batch?)?;
        if step % 25 == 0 {
            println!(
                "step {step}: loss {:.2}, {} units committed",
                report.loss, report.committed
            );
        }
    }
    trainer.commit();
    let score = trainer.evaluate(loader.evaluate(Arc::new(test))?)?;
    println!(
        "top-1 of the binary network: {:.1} % of {} images",
        score.top1, score.images
    );
    Ok(())
}
