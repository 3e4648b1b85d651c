//! Train your own network with all features of `stompp train`: metrics, checkpoints, evaluation, a run directory.
//!
//! `cargo run --release -p stompp-examples --bin own_network [DIRECTORY]`
//!
//! In PyTorch you would write a `Module` with a `forward`. Here a network is data, a `Graph` (see `vgg_small`), that the trainer accepts
//! directly. There is no trait to implement.

use std::path::PathBuf;
use stompp_binarize::ActivationRule;
use stompp_examples::vgg_small;
use stompp_graph::CostSummary;
use stompp_train::{Callback, Checkpointing, Evaluation, RunConfig, Session, Start, TrainError};

/// A callback that prints each evaluation. Callbacks cannot change a run.
struct Print;

impl Callback for Print {
    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        println!(
            "epoch {:.0}: top-1 {:.1} % binarized, {:.1} % as it is now",
            evaluation.epoch, evaluation.top1, evaluation.top1_as_it_stands
        );
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("runs/vgg-small"), PathBuf::from);

    // The literature uses a width of 128; 16 trains in seconds.
    let graph = vgg_small(16, 16, 10)?;
    println!("{}", CostSummary::new(&graph, ActivationRule::Quantized));

    // Every field has a default: SGD with momentum 0.9 at a constant 0.1, StoMPP in forward order. The images are generated; for
    // CIFAR-10 set `dataset = 'cifar10'` and `path = ...`. The network has no average pooling, so its gradients are large: use a low rate.
    let config = RunConfig::from_toml(
        "data = { dataset = 'synthetic10', train_limit = 2000, test_limit = 500, image_size = 16 }
         training = { duration = '4ep', batch_size = 50, learning_rate = 0.02 }
         method = { name = 'stompp', refresh = '0.1w' }",
    )?;

    // If the run is interrupted, the same command resumes it.
    let session = Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    // A run computes in one thread pool.
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    let result = pool.install(|| session.train_graph(&graph, &config, &out, &mut [&mut Print]))?;
    println!(
        "top-1 {:.1} %; network and metrics are in {}",
        result.top1,
        out.display()
    );
    Ok(())
}
