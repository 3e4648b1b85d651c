//! One optimizer step.

use crate::{
    TrainError,
    callback::TimeSplit,
    config::TrainingConfig,
    device_data::{DeviceBatch, ImageTensor},
    diagnostics::WeightSigns,
    divergence::{self, GradientNorms},
    error::device_error,
    evaluate::count_correct,
    freezing::FreezePolicy,
    learning_rate::LearningRates,
    optimizer::AnyOptimizer,
    processes::ProcessShare,
};
use dfdx::{
    tensor::{PutTape, SplitTape},
    tensor_ops::Backward,
};
use std::time::Instant;
use stompp_binarize::{BinaryBackend, Freezable, FreezeReport, Network};
use stompp_nn::{
    SwitchTape, ops,
    optim::{Optimizer, clip_gradients},
};

/// A network with its optimizer and its freezing.
#[derive(Debug)]
pub(crate) struct RunTrainer<D: BinaryBackend> {
    pub(crate) device: D,
    pub(crate) network: Network<D>,
    pub(crate) optimizer: AnyOptimizer<D>,
    /// The learning rate that the schedule multiplies.
    pub(crate) learning_rate: f32,
    pub(crate) learning_rates: LearningRates,
    pub(crate) regularization: Regularization,
    pub(crate) freezing: FreezePolicy,
    /// The signs of the latent weights at the last diagnostics, if known.
    pub(crate) signs: Option<WeightSigns>,
}

/// The result of one step.
#[derive(Clone, Debug)]
pub(crate) struct StepResult {
    /// Mean loss of the batch, before the step.
    pub(crate) loss: f32,
    /// Images of the batch that were classified correctly.
    pub(crate) correct: usize,
    /// The time by activity, without waiting for data.
    pub(crate) seconds: TimeSplit,
    /// The norms of the gradients.
    pub(crate) norms: GradientNorms,
    /// The report of the freezing before the step, if there is a plan.
    pub(crate) freezing: Option<FreezeReport>,
    /// The share of this process.
    pub(crate) share: ProcessShare,
    /// The shares of all processes, if there are several.
    pub(crate) processes: Vec<ProcessShare>,
}

impl<D: BinaryBackend> RunTrainer<D> {
    /// Does optimizer step `step` on `batch`: freeze, forward, backward, update.
    ///
    /// # Errors
    /// Returns [`TrainError::NonFinite`] if the loss or a gradient is not finite; parameters are then the same as before the step.
    /// Returns [`TrainError::Device`] if an allocation or a kernel launch fails.
    pub(crate) fn step(&mut self, step: u64, batch: DeviceBatch<D>) -> Result<StepResult, TrainError> {
        let mut timer = StepTimer::start();
        let learning_rate = self.learning_rate * self.learning_rates.factor(step);
        self.optimizer.set_learning_rate(learning_rate);
        let freezing = self.freezing.apply(step, &mut self.network)?;
        timer.seconds.update += timer.clock.lap();
        let DeviceBatch { images, labels, .. } = batch;
        let before = ProcessShare::so_far(self.network.reduction());
        let BackwardResult { loss, correct, norms } = forward_backward_update(
            &mut self.network,
            &mut self.optimizer,
            self.regularization,
            step,
            (images, &labels),
            &mut timer,
        )?;
        let done = ProcessShare::so_far(self.network.reduction());
        Ok(StepResult {
            loss,
            correct,
            norms,
            freezing,
            share: ProcessShare {
                bytes_sent: done.bytes_sent - before.bytes_sent,
                seconds: timer.seconds.total() + before.seconds - done.seconds,
            },
            processes: Vec::new(),
            seconds: timer.seconds,
        })
    }

    /// Sets the freeze states of the network after `done` of `steps` steps: the states of the last step done, or the final states at the
    /// end of the training. Quantizers that are freezing get new masks.
    ///
    /// # Errors
    /// Returns [`TrainError::Device`] if updating a mask on the device fails.
    pub(crate) fn set_freeze_states(&mut self, done: u64, steps: u64) -> Result<(), TrainError> {
        self.network.open_all();
        if done == steps {
            self.freezing.apply(steps, &mut self.network)?;
        } else if let Some(last) = done.checked_sub(1) {
            self.freezing.apply(last, &mut self.network)?;
        }
        Ok(())
    }
}

/// Label smoothing and gradient clipping. Weight decay is part of the optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Regularization {
    /// Share of the target that is spread evenly over all classes.
    pub(crate) label_smoothing: f32,
    /// Largest L2 norm of all gradients, taken as one vector.
    pub(crate) clip_gradients: Option<f64>,
}

impl From<&TrainingConfig> for Regularization {
    fn from(config: &TrainingConfig) -> Self {
        Self {
            label_smoothing: config.label_smoothing as f32,
            clip_gradients: config.clip_gradients,
        }
    }
}

/// The result of a forward and a backward pass.
#[derive(Debug)]
pub(crate) struct BackwardResult {
    /// Mean loss of the batch, before the update.
    pub(crate) loss: f32,
    /// Images of the batch that were classified correctly.
    pub(crate) correct: usize,
    /// The norms of the gradients.
    pub(crate) norms: GradientNorms,
}

/// Measures the time of a step by activity.
#[derive(Debug)]
pub(crate) struct StepTimer {
    seconds: TimeSplit,
    clock: LapTimer,
}

impl StepTimer {
    pub(crate) fn start() -> Self {
        Self {
            seconds: TimeSplit::default(),
            clock: LapTimer::start(),
        }
    }
}

/// Does the forward pass, backward pass and update of optimizer step `step` on a batch of images and labels.
///
/// # Errors
/// Returns [`TrainError::NonFinite`] if the loss or a gradient is not finite; parameters are then unchanged. Returns
/// [`TrainError::Device`] if an allocation or a kernel launch fails.
pub(crate) fn forward_backward_update<D: BinaryBackend>(
    network: &mut Network<D>,
    optimizer: &mut impl Optimizer<D>,
    regularization: Regularization,
    step: u64,
    (images, labels): (ImageTensor<D>, &[usize]),
    timer: &mut StepTimer,
) -> Result<BackwardResult, TrainError> {
    let StepTimer { seconds, clock } = timer;
    let device = network.device().clone();
    // No value is read back before all gradients of the step are queued, so the device never waits for the host.
    let (logits, tape) = network.forward_train(images).map_err(device_error)?.split_tape();
    let Regularization {
        label_smoothing,
        clip_gradients: largest_norm,
    } = regularization;
    let recorded =
        ops::smoothed_cross_entropy(logits.clone().put_tape(tape), labels, label_smoothing).map_err(device_error)?;
    let (loss, tape) = recorded.split_tape();
    let recorded = SwitchTape::into_owned_tape(loss.clone().put_tape(tape)).expect("the last layer always records");
    seconds.forward += clock.lap();
    let mut gradients = recorded.try_backward().map_err(device_error)?;
    network.complete_gradients(&mut gradients).map_err(device_error)?;
    network.reduction().check()?;
    let norms = GradientNorms::compute(&device, network, &mut gradients).map_err(device_error)?;
    let value = loss.as_vec()[0];
    let correct = count_correct(&logits.as_vec(), labels);
    seconds.backward += clock.lap();
    if !value.is_finite() {
        return Err(TrainError::NonFinite {
            what: "training loss",
            step,
            value: f64::from(value),
            layer: divergence::layer_of_loss(network),
            last_good: None,
        });
    }

    if let Some(layer) = norms.first_non_finite() {
        return Err(TrainError::NonFinite {
            what: "gradient",
            step,
            value: f64::NAN,
            layer,
            last_good: None,
        });
    }

    if let Some(largest) = largest_norm {
        clip_gradients(&device, network, &mut gradients, norms.iter(), largest).map_err(device_error)?;
    }
    optimizer.step(&device, network, &mut gradients).map_err(device_error)?;
    seconds.update += clock.lap();
    Ok(BackwardResult {
        loss: value,
        correct,
        norms,
    })
}

/// A stopwatch for consecutive laps.
#[derive(Debug)]
pub(crate) struct LapTimer(Instant);

impl LapTimer {
    /// Starts the first lap.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Ends a lap and returns its length in seconds.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap = now.duration_since(self.0).as_secs_f64();
        self.0 = now;
        lap
    }
}
