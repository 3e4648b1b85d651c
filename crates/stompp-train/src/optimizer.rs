//! The optimizer that a configuration names.

use crate::{
    RunConfig,
    config::{OptimizerName, TrainingConfig},
};
use dfdx::tensor::Gradients;
use stompp_nn::{
    Backend, DeviceError, VisitTensors,
    optim::{Adam, Optimizer, Sgd, WeightDecay},
};

/// One of the optimizers that a configuration can name.
#[derive(Clone, Debug)]
pub(crate) enum AnyOptimizer<D: Backend> {
    Sgd(Sgd<D>),
    Adam(Adam<D>),
}

impl<D: Backend> AnyOptimizer<D> {
    /// Creates the optimizer that `config` names, without any state.
    pub(crate) fn new(config: &RunConfig) -> Self {
        let TrainingConfig {
            optimizer,
            learning_rate,
            momentum,
            weight_decay,
            decay_latent_weights,
            ..
        } = config.training;
        let rate = learning_rate as f32;
        let decay = WeightDecay {
            rate: weight_decay as f32,
            latent_weights: decay_latent_weights,
        };
        match optimizer {
            OptimizerName::Sgd => Self::Sgd(Sgd::new(rate, momentum as f32).with_weight_decay(decay)),
            OptimizerName::Adam => {
                let adam = Adam::new(rate).with_betas(momentum, Adam::<D>::BETA2);
                Self::Adam(adam.with_weight_decay(decay))
            }
        }
    }
}

impl<D: Backend> Optimizer<D> for AnyOptimizer<D> {
    fn step(
        &mut self,
        device: &D,
        network: &mut impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        match self {
            Self::Sgd(sgd) => sgd.step(device, network, gradients),
            Self::Adam(adam) => adam.step(device, network, gradients),
        }
    }

    fn state(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err> {
        match self {
            Self::Sgd(sgd) => sgd.state(network),
            Self::Adam(adam) => adam.state(network),
        }
    }

    fn restore<E: From<DeviceError>>(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        saved: impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        match self {
            Self::Sgd(sgd) => sgd.restore(device, network, saved),
            Self::Adam(adam) => adam.restore(device, network, saved),
        }
    }

    fn learning_rate(&self) -> f32 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate(),
            Self::Adam(adam) => adam.learning_rate(),
        }
    }

    fn set_learning_rate(&mut self, learning_rate: f32) {
        match self {
            Self::Sgd(sgd) => sgd.set_learning_rate(learning_rate),
            Self::Adam(adam) => adam.set_learning_rate(learning_rate),
        }
    }
}
