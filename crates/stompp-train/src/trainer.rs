//! A trainer for custom training loops: single steps, evaluation, saving and loading.

use crate::{
    Score, TrainError,
    device_data::to_device,
    error::device_error,
    evaluate::ScoreAccumulator,
    files, network_file,
    step::{Regularization, StepTimer, forward_backward_update},
};
use std::path::Path;
use stompp_binarize::{BinaryBackend, EvalMode, Freezable, Freezer, Network};
use stompp_data::{Batch, DataError};
use stompp_nn::optim::{Optimizer, Sgd};
use stompp_schedule::{Plan, Schedule};

/// A network with its optimizer and its freezer, for a custom training loop. [`train`](crate::train) runs the whole loop instead, with
/// metrics and a run directory.
///
/// ```
/// use std::sync::Arc;
/// use stompp_binarize::{Binarization, Freezer, Network};
/// use stompp_data::{ImageExamples, Loader, Normalization, Position, synthetic::{Synthetic, SyntheticKind}};
/// use stompp_nn::optim::Sgd;
/// use stompp_resnet::{Architecture, Model};
/// use stompp_train::Trainer;
///
/// let images = Arc::new(Synthetic { kind: SyntheticKind::Shapes, seed: 0, train: 40, test: 10 }.generate()?.train);
/// let normalization = Normalization::new(images.channel_statistics())?;
/// let examples = Arc::new(ImageExamples::new(images, normalization));
/// let loader = Loader { batch_size: 10, workers: 1 };
///
/// let graph = Architecture::new(Model::Cifar { blocks: 1 }, Some(4), 10, 32)?.graph();
/// let mut network = Network::new(&stompp_nn::cpu(), &graph, Binarization::BNN, 0)?;
/// let freezer = Freezer::for_network(&mut network, 8, "0.1w".parse()?)?;
/// let mut trainer = Trainer::new(network, Sgd::new(0.1, 0.9), freezer);
/// for (step, batch) in (0..8).zip(loader.train(examples.clone(), 0, Position::default())?) {
///     assert!(trainer.step(step, &batch?)?.loss > 0.0);
/// }
/// trainer.commit();
/// let score = trainer.evaluate(loader.evaluate(examples)?)?;
/// assert_eq!(score.images, 40);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trainer<D: BinaryBackend, O = Sgd<D>, S = Plan> {
    network: Network<D>,
    optimizer: O,
    freezer: Freezer<S>,
}

/// The result of one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainerStep {
    /// Mean loss of the batch, before the step.
    pub loss: f32,
    /// Images of the batch that were classified correctly, before the step.
    pub correct: usize,
    /// Number of units with committed weights during the step.
    pub committed: usize,
}

impl<D: BinaryBackend, O: Optimizer<D>, S: Schedule> Trainer<D, O, S> {
    /// Creates a trainer of `network`.
    pub fn new(network: Network<D>, optimizer: O, freezer: Freezer<S>) -> Self {
        Self {
            network,
            optimizer,
            freezer,
        }
    }

    /// The network.
    pub fn network(&self) -> &Network<D> {
        &self.network
    }

    /// The optimizer, for example to change its learning rate.
    pub fn optimizer_mut(&mut self) -> &mut O {
        &mut self.optimizer
    }

    /// Does optimizer step `step`, counted from 0, on `batch`: freeze, forward, backward, update.
    ///
    /// # Errors
    /// Returns [`TrainError::NonFinite`] if the loss or a gradient is not finite; parameters are then the same as before the step.
    /// Returns [`TrainError::Device`] if an allocation or a kernel launch fails.
    ///
    /// # Panics
    /// Panics if the images do not have the network's input size, or the freezer was made for another network.
    pub fn step(&mut self, step: u64, batch: &Batch) -> Result<TrainerStep, TrainError> {
        let device = self.network.device().clone();
        let frozen = self.freezer.apply(step, &mut self.network).map_err(device_error)?;
        let images = to_device(&device, batch).map_err(device_error)?;
        let seen = forward_backward_update(
            &mut self.network,
            &mut self.optimizer,
            Regularization::default(),
            step,
            (images, &batch.labels),
            &mut StepTimer::start(),
        )?;
        Ok(TrainerStep {
            loss: seen.loss,
            correct: seen.correct,
            committed: frozen.committed(),
        })
    }

    /// Commits every unit. Call it after the last step.
    pub fn commit(&mut self) {
        self.network.commit_all();
    }

    /// Scores the deploy network (every mask all ones) on `batches`. Changes nothing.
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] if a batch cannot be read, and [`TrainError::Device`] if an allocation or a kernel launch fails.
    pub fn evaluate(&self, batches: impl Iterator<Item = Result<Batch, DataError>>) -> Result<Score, TrainError> {
        let mut sum = ScoreAccumulator::default();
        for batch in batches {
            let batch = batch?;
            let images = to_device(self.network.device(), &batch).map_err(device_error)?;
            let logits = self
                .network
                .evaluate(images, EvalMode::Binarized)
                .map_err(device_error)?;
            sum.add(&logits.as_vec(), &batch.labels);
        }
        Ok(sum.score())
    }

    /// Writes the network's tensors, with latent weights, to the safetensors file `path`, atomically. Replaces an existing file.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        files::replace(path, &network_file::to_bytes(&self.network))
    }

    /// Reads the network's tensors from a file that [`Trainer::save`] wrote.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file cannot be read, and [`TrainError::Damaged`] if its tensors are not exactly those of the
    /// network. The network may then be partly loaded.
    pub fn load(&mut self, path: &Path) -> Result<(), TrainError> {
        let bytes = files::read(path)?;
        network_file::restore(&mut self.network, &bytes, path)
    }
}
