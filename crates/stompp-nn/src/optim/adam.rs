//! Adam.

use super::{Optimizer, WeightDecay, per_parameter::PerParameter, trainable_bound};
use crate::{Backend, DeviceError, TensorKind, TensorMut, VisitTensors, VisitorMut, backend::AdamStep};
use dfdx::{shapes::Shape, tensor::Gradients};

/// PyTorch's default: added to the root of the second moment.
const EPSILON: f32 = 1e-8;

/// The name of the number of steps in the saved state.
const STEP: &str = "step";

/// Adam (Kingma & Ba 2015), as in PyTorch: for step t = 1, 2, ... and every parameter
/// `g' = g + weight_decay * w; m = beta1 m + (1 - beta1) g'; s = beta2 s + (1 - beta2) g'^2;`
/// `w -= learning_rate * (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + 1e-8)`, then `w` is clamped if its [`TensorKind`] has a bound
/// (latent weights to [-1, 1], *ours*).
///
/// Both moments start at 0. A parameter without a gradient has `g = 0`. A parameter that has stopped learning keeps its weight and
/// moments. Weight decay is an L2 penalty, as in the training recipes of Bi-Real Net and ReActNet; it is not decoupled as in AdamW.
#[derive(Clone, Debug)]
pub struct Adam<D: Backend> {
    learning_rate: f32,
    betas: (f64, f64),
    weight_decay: WeightDecay,
    /// Steps done.
    steps: u64,
    first_moment: PerParameter<D>,
    second_moment: PerParameter<D>,
}

impl<D: Backend> Adam<D> {
    /// PyTorch's default of the second beta: the share of the old second moment.
    pub const BETA2: f64 = 0.999;

    /// Creates an optimizer with PyTorch's defaults: betas 0.9 and 0.999, no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            betas: (0.9, Self::BETA2),
            weight_decay: WeightDecay::default(),
            steps: 0,
            first_moment: PerParameter::new("first_moment"),
            second_moment: PerParameter::new("second_moment"),
        }
    }

    /// Sets the shares of the old moments.
    ///
    /// # Panics
    /// If one is not in [0, 1).
    #[must_use]
    pub fn with_betas(self, beta1: f64, beta2: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2),
            "betas {beta1} and {beta2}: both must be in [0, 1)"
        );
        Self {
            betas: (beta1, beta2),
            ..self
        }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: WeightDecay) -> Self {
        Self { weight_decay, ..self }
    }

    /// The coefficients of the current step, without weight decay and bound. As in PyTorch, they are computed in f64.
    fn numbers(&self) -> AdamStep {
        let (beta1, beta2) = self.betas;
        let t = self.steps as f64;
        AdamStep {
            step_size: (f64::from(self.learning_rate) / (1.0 - beta1.powf(t))) as f32,
            first_rate: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            second_rate: (1.0 - beta2) as f32,
            correction: (1.0 - beta2.powf(t)).sqrt() as f32,
            epsilon: EPSILON,
            weight_decay: 0.0,
            bound: None,
        }
    }
}

impl<D: Backend> Optimizer<D> for Adam<D> {
    fn step(
        &mut self,
        device: &D,
        network: &mut impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        self.steps += 1;
        let mut step = Step {
            device,
            numbers: self.numbers(),
            adam: self,
            gradients,
        };
        network.visit_mut("", &mut step)
    }

    /// `first_moment.NAME` and `second_moment.NAME` of each parameter, and `step`, the number of steps. It is a float, as in PyTorch:
    /// exact up to 2^24, and without effect long before that.
    fn state(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err> {
        let mut state = self.first_moment.read(network)?;
        state.extend(self.second_moment.read(network)?);
        state.push((STEP.to_owned(), vec![self.steps as f32]));
        Ok(state)
    }

    fn restore<E: From<DeviceError>>(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        mut saved: impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        self.first_moment.restore(device, network, &mut saved)?;
        self.second_moment.restore(device, network, &mut saved)?;
        let [steps] = saved(STEP, 1)?[..] else {
            panic!("the number of steps is one value");
        };
        self.steps = steps as u64;
        Ok(())
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f32) {
        self.learning_rate = learning_rate;
    }
}

/// Updates every parameter that it visits.
struct Step<'a, D: Backend> {
    device: &'a D,
    numbers: AdamStep,
    adam: &'a mut Adam<D>,
    gradients: &'a mut Gradients<f32, D>,
}

impl<D: Backend> VisitorMut<D> for Step<'_, D> {
    type Error = D::Err;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        _: &str,
        kind: TensorKind,
        mut tensor: TensorMut<'_, S, D>,
    ) -> Result<(), D::Err> {
        let Some(bound) = trainable_bound(kind) else {
            return Ok(());
        };
        let step = AdamStep {
            weight_decay: self.adam.weight_decay.rate_for(bound),
            bound,
            ..self.numbers
        };
        let gradient = self.gradients.get_or_alloc_mut(&*tensor)?;
        let first = self.adam.first_moment.get_mut(&tensor)?;
        let second = self.adam.second_moment.get_mut(&tensor)?;
        self.device.modify(&mut tensor, |weight| {
            let (first, second) = (D::slice_mut(first), D::slice_mut(second));
            self.device.adam_step(&step, weight, first, second, D::slice(gradient))
        })
    }
}
