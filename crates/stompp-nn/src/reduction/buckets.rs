//! Gradients that are added over processes while the backward pass still runs.

use super::BatchReduction;
use crate::{Backend, TensorKind, VisitTensors, Visitor};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Gradients, Tensor},
};
use std::collections::HashMap;
use stompp_parallel::PendingSum;

/// Floats of a bucket: large enough to use a network's bandwidth, and small enough to be sent during the backward pass.
const BUCKET: usize = 1 << 18;

/// The gradients of one backward pass. [`GradientBuckets::add`] collects them in buckets as they are computed, and starts the sum of each
/// full bucket. [`GradientBuckets::finish`] waits for the sums.
///
/// Every process adds the same tensors in the same order, because every process does the same backward pass.
#[derive(Debug, Default)]
pub struct GradientBuckets {
    /// The bucket that is being filled.
    open: Vec<f32>,
    /// The sums of full buckets.
    sums: Vec<PendingSum>,
    /// Bucket and position of each tensor's gradient.
    places: HashMap<String, (usize, usize)>,
}

impl GradientBuckets {
    /// Adds the gradient of the tensor `name`. Nothing is sent if this process has the whole batch.
    pub fn add(&mut self, reduction: &BatchReduction, name: &str, gradient: Vec<f32>) {
        if reduction.collective().is_none() {
            return;
        }
        self.places.insert(name.to_owned(), (self.sums.len(), self.open.len()));
        self.open.extend(gradient);
        if self.open.len() >= BUCKET {
            self.flush(reduction);
        }
    }

    /// Starts the sum of the open bucket.
    fn flush(&mut self, reduction: &BatchReduction) {
        if let Some(collective) = reduction.collective()
            && !self.open.is_empty()
        {
            self.sums.push(collective.start_sum(std::mem::take(&mut self.open)));
        }
    }

    /// Waits for all sums and writes them to `gradients`. After an error of the collective, [`BatchReduction::check`] returns it, and the
    /// gradients are those of this process.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a copy to the device fails.
    pub fn finish<D: Backend>(
        &mut self,
        reduction: &BatchReduction,
        device: &D,
        network: &impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        if self.places.is_empty() {
            return Ok(()); // No gradient is shared.
        }
        self.flush(reduction);
        let sums = std::mem::take(&mut self.sums).into_iter().map(PendingSum::wait);
        let places = std::mem::take(&mut self.places);
        match reduction.wait_for(|| sums.collect::<Result<Vec<_>, _>>()) {
            Ok(sums) => network.visit(
                "",
                &mut WriteSums {
                    device,
                    gradients,
                    sums,
                    places,
                },
            ),
            Err(error) => {
                reduction.fail(error);
                Ok(())
            }
        }
    }
}

/// Writes sums to the gradients of the tensors that have one.
struct WriteSums<'a, D: Backend> {
    device: &'a D,
    gradients: &'a mut Gradients<f32, D>,
    sums: Vec<Vec<f32>>,
    places: HashMap<String, (usize, usize)>,
}

impl<D: Backend> Visitor<D> for WriteSums<'_, D> {
    type Error = D::Err;

    fn visit_tensor<S: Shape>(&mut self, name: &str, _: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), D::Err> {
        if let Some(&(bucket, start)) = self.places.get(name) {
            let sum = &self.sums[bucket][start..][..tensor.shape().num_elements()];
            self.device.write(sum, self.gradients.get_or_alloc_mut(tensor)?)?;
        }
        Ok(())
    }
}
