//! Gradient clipping by norm.

use crate::{Backend, TensorKind, VisitTensors, Visitor, backend::Buffer};
use dfdx::{
    shapes::Shape,
    tensor::{Gradients, Tensor},
};

/// Added to the norm, as in PyTorch's `clip_grad_norm_`.
const EPSILON: f64 = 1e-6;

/// Clips the gradients of all parameters of `network` that still learn, taken as one vector, to the L2 norm `largest`, as PyTorch's
/// `clip_grad_norm_`. `norms` are the L2 norms of the individual gradients.
///
/// # Errors
/// Returns `D::Err` if a kernel launch fails; some gradients may have been scaled.
pub fn clip_gradients<D: Backend>(
    device: &D,
    network: &impl VisitTensors<D>,
    gradients: &mut Gradients<f32, D>,
    norms: impl Iterator<Item = f64>,
    largest: f64,
) -> Result<(), D::Err> {
    let norm = norms.map(|norm| norm * norm).sum::<f64>().sqrt();
    let factor = (largest / (norm + EPSILON)) as f32;
    if factor >= 1.0 {
        return Ok(());
    }
    network.visit(
        "",
        &mut Scale {
            device,
            gradients,
            factor,
        },
    )
}

/// Scales the gradient of every parameter that it visits.
struct Scale<'a, D: Backend> {
    device: &'a D,
    gradients: &'a mut Gradients<f32, D>,
    factor: f32,
}

impl<D: Backend> Visitor<D> for Scale<'_, D> {
    type Error = D::Err;

    fn visit_tensor<S: Shape>(&mut self, _: &str, kind: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), D::Err> {
        let TensorKind::Parameter { learning: true, .. } = kind else {
            return Ok(());
        };
        let gradient: &mut Buffer<D> = self.gradients.get_or_alloc_mut(tensor)?;
        self.device.scale(self.factor, D::slice_mut(gradient))
    }
}
