//! Optimizers: SGD with momentum, and Adam, as PyTorch has them.
//!
//! Two rules are specific to binary networks. A parameter whose [`TensorKind`] has a bound (a latent binary weight) is clamped to it
//! after each step (*ours*), and by default has no weight decay. A parameter that has stopped learning keeps its values and its state,
//! whatever its gradient.
//!
//! ```
//! use dfdx::prelude::*;
//! use stompp_nn::{builder, ops, optim::{Adam, Optimizer}};
//!
//! let dev = Cpu::default();
//! let mut net = dev.build_module::<builder::Linear<4, 3>, f32>();
//! let images: Tensor<Rank2<5, 4>, f32, _> = dev.sample_normal();
//! let mut adam = Adam::new(0.05);
//! let mut losses = Vec::new();
//! for _ in 0..20 {
//!     let loss = ops::cross_entropy(net.forward(images.clone().leaky_traced()), &[0, 1, 2, 0, 1])?;
//!     losses.push(loss.as_vec()[0]);
//!     adam.step(&dev, &mut net, &mut loss.backward())?;
//! }
//! assert!(losses[19] < losses[0]);
//!
//! // Save the state and restore it.
//! let saved = adam.state(&net)?;
//! let mut resumed = Adam::new(0.05);
//! resumed.restore(&dev, &net, |name, _| {
//!     let found = saved.iter().find(|(saved, _)| saved == name);
//!     found.map(|(_, values)| values.clone()).ok_or_else(|| Box::<dyn std::error::Error>::from(format!("no {name}")))
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adam;
mod clip;
mod per_parameter;
mod sgd;

pub use adam::Adam;
pub use clip::clip_gradients;
pub use sgd::Sgd;

use crate::{Backend, DeviceError, TensorKind, VisitTensors};
use dfdx::tensor::Gradients;

/// Updates the parameters of one network by their gradients.
///
/// An optimizer belongs to one network: it finds its state by the identity of the network's tensors, and names it after them.
pub trait Optimizer<D: Backend> {
    /// Does one step: updates every parameter of `network` that still learns. A missing gradient counts as 0.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails; some parameters may have been updated.
    fn step(
        &mut self,
        device: &D,
        network: &mut impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err>;

    /// Returns the whole state: named tensors in a fixed order, such as `velocity.fc.weight` of the parameter `fc.weight`.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation fails.
    fn state(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err>;

    /// Restores saved state. Calls `saved` with the name and length of each tensor that [`Optimizer::state`] returned.
    ///
    /// # Errors
    /// Returns the first error of `saved`, or a [`DeviceError`] if an allocation or a copy fails. Part of the state may then be restored.
    ///
    /// # Panics
    /// If `saved` returns another number of values than the given length.
    fn restore<E: From<DeviceError>>(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        saved: impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<(), E>;

    /// The learning rate in use.
    fn learning_rate(&self) -> f32;

    /// Sets the learning rate of the following steps.
    fn set_learning_rate(&mut self, learning_rate: f32);
}

/// L2 penalty: `rate * w` is added to a parameter's gradient, as by `weight_decay` of PyTorch's optimizers.
///
/// Only the sign of a latent binary weight counts in the end. A penalty pulls the weight to 0, where its sign flips, so latent weights
/// have no penalty by default (*ours*).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WeightDecay {
    /// The factor; 0 is no penalty.
    pub rate: f32,
    /// Whether the penalty also applies to latent binary weights.
    pub latent_weights: bool,
}

impl WeightDecay {
    /// The factor for a parameter with this bound.
    fn rate_for(self, bound: Option<f32>) -> f32 {
        if bound.is_none() || self.latent_weights {
            self.rate
        } else {
            0.0
        }
    }
}

/// The bound of a parameter that still learns. The outer `None` means that an optimizer must not change the tensor.
fn trainable_bound(kind: TensorKind) -> Option<Option<f32>> {
    match kind {
        TensorKind::Parameter { learning: true, bound } => Some(bound),
        TensorKind::Parameter { learning: false, .. } | TensorKind::Statistic => None,
    }
}
