//! Optimizers: SGD with momentum, and Adam, as PyTorch has them.
//!
//! Two things are of binary networks. A parameter whose [`TensorKind`] has a bound (a latent binary weight) is clamped to it after each
//! step (*ours*), and is left out of weight decay unless asked for. A parameter that has stopped learning keeps its values and its
//! state, whatever its gradient.
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
//! // What a checkpoint keeps, and back.
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

/// What moves the parameters of one network against their gradients.
///
/// An optimizer belongs to one network: its state is found by the identity of the network's tensors, and named by their names.
pub trait Optimizer<D: Backend> {
    /// Moves every parameter of `network` that still learns by one step. A parameter without a gradient has a gradient of 0.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails; some parameters may have moved.
    fn step(
        &mut self,
        device: &D,
        network: &mut impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err>;

    /// All the state there is: named tensors, such as `velocity.fc.weight` of parameter `fc.weight`, in a fixed order.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation fails.
    fn state(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err>;

    /// Puts saved state back. `saved` is asked for each tensor that [`Optimizer::state`] gave, by its name and length.
    ///
    /// # Errors
    /// The first error of `saved`, or the device's. The optimizer may then have some of the state.
    ///
    /// # Panics
    /// If `saved` gives another number of values than it was asked for.
    fn restore<E: From<DeviceError>>(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        saved: impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<(), E>;

    /// The learning rate in use.
    fn learning_rate(&self) -> f32;

    /// Goes on with another learning rate.
    fn set_learning_rate(&mut self, learning_rate: f32);
}

/// L2 penalty: `rate * w` is added to a parameter's gradient, as by `weight_decay` of PyTorch's optimizers.
///
/// Of a latent binary weight only the sign counts in the end. A penalty draws it to where its sign flips, so it is left out by default
/// (*ours*).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WeightDecay {
    /// The factor; 0 is no penalty.
    pub rate: f32,
    /// Whether latent binary weights get it, too.
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

/// The bound of a parameter that still learns; `None` for what an optimizer leaves alone.
fn trainable_bound(kind: TensorKind) -> Option<Option<f32>> {
    match kind {
        TensorKind::Parameter { learning: true, bound } => Some(bound),
        TensorKind::Parameter { learning: false, .. } | TensorKind::Statistic => None,
    }
}
