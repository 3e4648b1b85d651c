//! The fully connected layer.

use crate::{
    OpResult, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, backend::Backend, init::uniform_fan_in, ops,
    tape::Recording,
};
use dfdx::{
    dtypes::Dtype,
    nn::{BuildModule, BuildOnDevice, Module, ModuleVisitor, NonMutableModule, TensorCollection, TensorOptions},
    shapes::{Const, Dim},
    tensor::{PutTape, SplitTape, Storage, Tensor},
    tensor_ops::Device,
};
use rand::Rng;

/// See [`Linear`](super::Linear).
pub(super) mod builder {
    /// A fully connected layer with bias, IN to OUT features.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Linear<const IN: usize, const OUT: usize>;
}

/// A fully connected layer with bias: (N, I) to (N, O).
#[derive(Clone, Debug)]
pub struct Linear<I: Dim, O: Dim, E: Dtype, D: Storage<E>> {
    /// Weight, shape (O, I).
    pub weight: Tensor<(O, I), E, D>,
    /// Bias, shape (O,).
    pub bias: Tensor<(O,), E, D>,
}

impl<I: Dim, O: Dim, D: Backend> Linear<I, O, f32, D> {
    /// Creates a layer with weights and biases drawn as in PyTorch ([`uniform_fan_in`]).
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn new(device: &D, inputs: I, outputs: O, rng: &mut impl Rng) -> Result<Self, D::Err> {
        let weight = uniform_fan_in(outputs.size() * inputs.size(), inputs.size(), rng);
        let bias = uniform_fan_in(outputs.size(), inputs.size(), rng);
        Ok(Self {
            weight: device.try_tensor_from_vec(weight, (outputs, inputs))?,
            bias: device.try_tensor_from_vec(bias, (outputs,))?,
        })
    }

    /// Applies the layer; weight and bias are on the tape `parameters`.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn forward_with<B: Dim, T: Recording<D>>(
        &self,
        x: Tensor<(B, I), f32, D, T>,
        parameters: T,
    ) -> OpResult<(B, O), D, T> {
        ops::linear(x, self.weight.clone().put_tape(parameters), self.bias.clone())
    }
}

impl<I: Dim, O: Dim, B: Dim, D: Backend, T: Recording<D>> Module<Tensor<(B, I), f32, D, T>> for Linear<I, O, f32, D> {
    type Output = Tensor<(B, O), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, I), f32, D, T>) -> Result<Self::Output, D::Err> {
        let (x, tape) = x.split_tape();
        let parameters = tape.fork();
        self.forward_with(x.put_tape(tape), parameters)
    }
}

impl<I: Dim, O: Dim, E: Dtype, D: Storage<E>> NonMutableModule for Linear<I, O, E, D> {}

impl<I: Dim, O: Dim, D: Storage<f32>> VisitTensors<D> for Linear<I, O, f32, D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        visitor.visit_tensor(&format!("{prefix}weight"), TensorKind::PARAMETER, &self.weight)?;
        visitor.visit_tensor(&format!("{prefix}bias"), TensorKind::PARAMETER, &self.bias)
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let (weight, bias) = (TensorMut::new(&mut self.weight), TensorMut::new(&mut self.bias));
        visitor.visit_tensor_mut(&format!("{prefix}weight"), TensorKind::PARAMETER, weight)?;
        visitor.visit_tensor_mut(&format!("{prefix}bias"), TensorKind::PARAMETER, bias)
    }
}

impl<const I: usize, const O: usize, D: Device<f32>> TensorCollection<f32, D> for Linear<Const<I>, Const<O>, f32, D> {
    type To<E2: Dtype, D2: Device<E2>> = Linear<Const<I>, Const<O>, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, D>>(visitor: &mut V) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let weight_reset = |t: &mut Tensor<_, f32, D>| super::reset(t, |n, mut rng| uniform_fan_in(n, I, &mut rng));
        let bias_reset = |t: &mut Tensor<_, f32, D>| super::reset(t, |n, mut rng| uniform_fan_in(n, I, &mut rng));
        visitor.visit_fields(
            (
                Self::tensor(
                    "weight",
                    |s| &s.weight,
                    |s| &mut s.weight,
                    TensorOptions::reset_with(weight_reset),
                ),
                Self::tensor(
                    "bias",
                    |s| &s.bias,
                    |s| &mut s.bias,
                    TensorOptions::reset_with(bias_reset),
                ),
            ),
            |(weight, bias)| Linear { weight, bias },
        )
    }
}

impl<const I: usize, const O: usize, D: Device<f32>> BuildOnDevice<D, f32> for builder::Linear<I, O> {
    type Built = Linear<Const<I>, Const<O>, f32, D>;

    fn try_build_on_device(device: &D) -> Result<Self::Built, D::Err> {
        Self::Built::try_build(device)
    }
}
