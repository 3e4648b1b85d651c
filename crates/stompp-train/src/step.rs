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

/// A network, and what changes it.
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
    /// What the next diagnostics count flips of sign from, where that is known.
    pub(crate) signs: Option<WeightSigns>,
}

/// What one step saw.
#[derive(Clone, Debug)]
pub(crate) struct StepResult {
    /// Mean loss of the batch, before the step.
    pub(crate) loss: f32,
    /// Images of the batch that were classified right.
    pub(crate) correct: usize,
    /// Where the time went; waiting for data is not in it.
    pub(crate) seconds: TimeSplit,
    /// How large the gradients were.
    pub(crate) norms: GradientNorms,
    /// What freezing did before the step, where there is a plan.
    pub(crate) freezing: Option<FreezeReport>,
}

impl<D: BinaryBackend> RunTrainer<D> {
    /// Optimizer step `step` on `batch`: freeze, forward, backward, update.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] if the loss or a gradient is no finite number; parameters are then as before the step.
    pub(crate) fn step(&mut self, step: u64, batch: DeviceBatch<D>) -> Result<StepResult, TrainError> {
        let mut timer = StepTimer::start();
        let learning_rate = self.learning_rate * self.learning_rates.factor(step);
        self.optimizer.set_learning_rate(learning_rate);
        let freezing = self.freezing.apply(step, &mut self.network)?;
        timer.seconds.update += timer.clock.lap();
        let DeviceBatch { images, labels, .. } = batch;
        let BackwardResult { loss, correct, norms } = forward_backward_update(
            &mut self.network,
            &mut self.optimizer,
            self.regularization,
            step,
            (images, &labels),
            &mut timer,
        )?;
        Ok(StepResult {
            loss,
            correct,
            seconds: timer.seconds,
            norms,
            freezing,
        })
    }

    /// Brings the network into the freeze states that are in force when `done` of `steps` steps are: those of the last step, and
    /// what follows the last one at the end. Masks that are freezing are new ones.
    ///
    /// # Errors
    /// [`TrainError::Device`] if a mask is on a device that fails.
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

/// What changes the loss and its gradients, beside weight decay, which is the optimizer's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Regularization {
    /// Share of the loss's target that all classes have equally.
    pub(crate) label_smoothing: f32,
    /// Largest L2 norm of the gradients together.
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

/// What a forward and a backward pass saw.
#[derive(Debug)]
pub(crate) struct BackwardResult {
    /// Mean loss of the batch, before the update.
    pub(crate) loss: f32,
    /// Images of the batch that were classified right.
    pub(crate) correct: usize,
    /// How large the gradients were.
    pub(crate) norms: GradientNorms,
}

/// Where the time of a step goes.
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

/// Forward, backward and update of optimizer step `step` on a batch of images and labels.
///
/// # Errors
/// [`TrainError::NonFinite`] if the loss or a gradient is no finite number; parameters are then as before. [`TrainError::Device`] if an
/// allocation or a kernel fails.
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
    // Nothing is read back from the device before all gradients of the step are queued: it never waits for the host.
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

/// Measures lap by lap.
#[derive(Debug)]
pub(crate) struct LapTimer(Instant);

impl LapTimer {
    /// Begins the first lap.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the last lap.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap = now.duration_since(self.0).as_secs_f64();
        self.0 = now;
        lap
    }
}
