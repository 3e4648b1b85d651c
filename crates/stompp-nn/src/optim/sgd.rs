//! Stochastic gradient descent with momentum.

use super::{Optimizer, WeightDecay, per_parameter::PerParameter, trainable_bound};
use crate::{Backend, DeviceError, TensorKind, TensorMut, VisitTensors, VisitorMut, backend::SgdStep};
use dfdx::{shapes::Shape, tensor::Gradients};

/// SGD with momentum, as in PyTorch without dampening: `g' = g + weight_decay * w; v = momentum * v + g'; w -= learning_rate * v` for
/// every parameter, then `w` is clamped if its [`TensorKind`] has a bound (latent weights to [-1, 1], *ours*).
///
/// The velocity `v` starts at 0. A parameter without a gradient has `g = 0`: its velocity still moves it and decays. A parameter
/// that has stopped learning keeps its weight and velocity.
#[derive(Clone, Debug)]
pub struct Sgd<D: Backend> {
    learning_rate: f32,
    momentum: f32,
    weight_decay: WeightDecay,
    velocity: PerParameter<D>,
}

impl<D: Backend> Sgd<D> {
    /// Creates an optimizer with zero velocity, without weight decay.
    pub fn new(learning_rate: f32, momentum: f32) -> Self {
        Self {
            learning_rate,
            momentum,
            weight_decay: WeightDecay::default(),
            velocity: PerParameter::new("velocity"),
        }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn with_weight_decay(self, weight_decay: WeightDecay) -> Self {
        Self { weight_decay, ..self }
    }
}

impl<D: Backend> Optimizer<D> for Sgd<D> {
    fn step(
        &mut self,
        device: &D,
        network: &mut impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        let mut step = Step {
            device,
            sgd: self,
            gradients,
        };
        network.visit_mut("", &mut step)
    }

    fn state(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err> {
        self.velocity.read(network)
    }

    fn restore<E: From<DeviceError>>(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        mut saved: impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        self.velocity.restore(device, network, &mut saved)
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
    sgd: &'a mut Sgd<D>,
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
        let step = SgdStep {
            learning_rate: self.sgd.learning_rate,
            momentum: self.sgd.momentum,
            weight_decay: self.sgd.weight_decay.rate_for(bound),
            bound,
        };
        let gradient = self.gradients.get_or_alloc_mut(&*tensor)?;
        let velocity = self.sgd.velocity.get_mut(&tensor)?;
        self.device.modify(&mut tensor, |weight| {
            let velocity = D::slice_mut(velocity);
            self.device.sgd_step(&step, weight, velocity, D::slice(gradient))
        })
    }
}
