//! State that an optimizer keeps for each parameter.

use crate::{Backend, DeviceError, TensorKind, VisitTensors, Visitor, backend::Buffer};
use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Gradients, Tensor},
};

/// One value for each entry of each parameter, such as its velocity; 0 at first.
#[derive(Clone, Debug)]
pub(super) struct PerParameter<D: Backend> {
    /// Prefix of the names in the saved state.
    name: &'static str,
    values: Gradients<f32, D>,
}

impl<D: Backend> PerParameter<D> {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            values: Gradients::leaky(),
        }
    }

    /// The values of one parameter.
    pub(super) fn get_mut<S: Shape>(&mut self, parameter: &Tensor<S, f32, D>) -> Result<&mut Buffer<D>, D::Err> {
        self.values.get_or_alloc_mut(parameter)
    }

    /// The values of every parameter, by name, in the order of `network`.
    pub(super) fn read(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err> {
        let mut read = Read {
            state: self,
            found: Vec::new(),
        };
        network.visit("", &mut read)?;
        Ok(read.found)
    }

    /// Restores the values of every parameter; see [`Optimizer::restore`](super::Optimizer::restore).
    pub(super) fn restore<E: From<DeviceError>>(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        saved: &mut impl FnMut(&str, usize) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        let mut restore = Restore {
            device,
            state: self,
            saved,
        };
        network.visit("", &mut restore)
    }
}

struct Read<'a, D: Backend> {
    state: &'a mut PerParameter<D>,
    found: Vec<(String, Vec<f32>)>,
}

impl<D: Backend> Visitor<D> for Read<'_, D> {
    type Error = D::Err;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), D::Err> {
        if let TensorKind::Parameter { .. } = kind {
            let PerParameter { name: state, values } = &mut *self.state;
            values.try_alloc_for(tensor)?;
            self.found
                .push((format!("{state}.{name}"), values.get(tensor).as_vec()));
        }
        Ok(())
    }
}

struct Restore<'a, D: Backend, F> {
    device: &'a D,
    state: &'a mut PerParameter<D>,
    saved: &'a mut F,
}

impl<D: Backend, E: From<DeviceError>, F: FnMut(&str, usize) -> Result<Vec<f32>, E>> Visitor<D> for Restore<'_, D, F> {
    type Error = E;

    fn visit_tensor<S: Shape>(&mut self, name: &str, kind: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), E> {
        let TensorKind::Parameter { .. } = kind else {
            return Ok(());
        };
        let name = format!("{}.{name}", self.state.name);
        let values = (self.saved)(&name, tensor.shape().num_elements())?;
        let state = self.state.get_mut(tensor).map_err(DeviceError::new)?;
        self.device.write(&values, state).map_err(DeviceError::new)?;
        Ok(())
    }
}
