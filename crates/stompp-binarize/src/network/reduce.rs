//! Gradients of a training pass that several processes share.

use super::{Layers, Network, Norm, plan::LayerIndex};
use crate::BinaryBackend;
use dfdx::{
    shapes::Shape,
    tensor::{Gradients, Tape, Tensor},
};
use std::sync::{Arc, Mutex, PoisonError};
use stompp_nn::{BatchReduction, GradientBuckets, Recording, SwitchTape};

impl<D: BinaryBackend> Network<D> {
    /// Completes the gradients of a backward pass whose batch is shared by several processes: waits until they are sums over all
    /// processes. Does nothing if this process has the whole batch.
    ///
    /// After an error of the collective, [`BatchReduction::check`] returns it, and the gradients are not complete.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a copy to the device fails.
    pub fn complete_gradients(&self, gradients: &mut Gradients<f32, D>) -> Result<(), D::Err> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.finish(&self.reduction, &self.device, self, gradients)
    }
}

/// Prepares tapes so that gradients are added over processes as soon as they are computed.
pub(super) struct Reducer<'a> {
    reduction: &'a BatchReduction,
    buckets: &'a Arc<Mutex<GradientBuckets>>,
}

impl<'a> Reducer<'a> {
    pub(super) fn new(reduction: &'a BatchReduction, buckets: &'a Arc<Mutex<GradientBuckets>>) -> Self {
        Self { reduction, buckets }
    }

    pub(super) fn reduction(&self) -> &BatchReduction {
        self.reduction
    }

    /// Prepares the tape for the parameters of the node `name`. The tape must be empty.
    pub(super) fn prepare<D: BinaryBackend>(
        &self,
        mut tape: SwitchTape<D>,
        name: &str,
        (layers, norms): (&Layers<D>, &[Norm<D>]),
        layer: LayerIndex,
    ) -> SwitchTape<D> {
        if self.reduction.collective().is_some() && tape.is_recording() {
            match layer {
                LayerIndex::Conv(index) => self.add(&mut tape, name, "weight", &layers.convs[index].weight),
                LayerIndex::BinaryConv(index) => {
                    self.add(&mut tape, name, "weight", &layers.binary_convs[index].latent().weight);
                }
                LayerIndex::Linear(index) => {
                    let linear = &layers.linears[index];
                    self.add(&mut tape, name, "weight", &linear.weight);
                    self.add(&mut tape, name, "bias", &linear.bias);
                }
                LayerIndex::Norm(index) if !self.reduction.batch_norm_gradients_are_complete() => {
                    self.add(&mut tape, name, "weight", &norms[index].scale);
                    self.add(&mut tape, name, "bias", &norms[index].shift);
                }
                LayerIndex::Norm(_) | LayerIndex::None | LayerIndex::Activation(_) => {}
            }
        }
        tape.with_reduction(self.reduction.clone())
    }

    /// Adds an operation that hands over the gradient of `tensor`. The backward pass runs operations in reverse order, so it comes after
    /// those that the layer adds.
    fn add<S: Shape, D: BinaryBackend>(
        &self,
        tape: &mut SwitchTape<D>,
        node: &str,
        tensor_name: &str,
        tensor: &Tensor<S, f32, D>,
    ) {
        let name = format!("{node}.{tensor_name}");
        let (reduction, buckets) = (self.reduction.clone(), Arc::clone(self.buckets));
        let (ghost, device) = (tensor.ghost(), tensor.device().clone());
        tape.add_backward_op(move |gradients| {
            let gradient = device.read(gradients.get_or_alloc_mut(&ghost)?)?;
            let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.add(&reduction, &name, gradient);
            Ok(())
        });
    }
}
