//! Convolution as a layer.

use crate::{
    ImageShape, OpResult, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, backend::Backend,
    init::kaiming_normal, ops, tape::Recording,
};
use dfdx::{
    dtypes::Dtype,
    nn::{BuildModule, BuildOnDevice, Module, ModuleVisitor, NonMutableModule, TensorCollection, TensorOptions},
    shapes::{Const, Dim},
    tensor::{PutTape, SplitTape, Storage, Tensor},
    tensor_ops::Device,
};
use rand::Rng;

/// See [`Conv2d`](super::Conv2d).
pub(super) mod builder {
    /// A two-dimensional convolution without bias, IN to OUT channels.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Conv2d<const IN: usize, const OUT: usize, const K: usize, const STRIDE: usize, const PAD: usize>;
}

/// A two-dimensional convolution without bias: (N, I, H, W) to (N, O, H', W').
///
/// Each size is a dfdx `Dim`: `Const<N>` when it is part of the type, `usize` when it is known at run time.
///
/// ```
/// use dfdx::prelude::*;
/// use stompp_nn::{Conv2d, builder};
///
/// let dev = Cpu::default();
/// let x: Tensor<Rank4<1, 3, 8, 8>, f32, _> = dev.sample_normal();
///
/// let typed = dev.build_module::<builder::Conv2d<3, 16, 3, 2, 1>, f32>();
/// assert_eq!(typed.forward(x.clone()).shape().concrete(), [1, 16, 4, 4]);
///
/// let x = x.reshape_like(&(1, 3, 8, 8));
/// let mut rng = stompp_rng::stream(0, stompp_rng::Purpose::INITIAL_WEIGHTS, 0, 0);
/// let sized_at_run_time = Conv2d::new(&dev, 3, 16, 3, 2, 1, &mut rng)?;
/// assert_eq!(sized_at_run_time.forward(x).shape().concrete(), [1, 16, 4, 4]);
/// # Ok::<(), CpuError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, E: Dtype, D: Storage<E>> {
    /// Weight, shape (O, I, K, K).
    pub weight: Tensor<(O, I, K, K), E, D>,
    /// Step between windows.
    pub stride: S,
    /// Zeros around the input.
    pub padding: P,
}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: Backend> Conv2d<I, O, K, S, P, f32, D> {
    /// Creates a layer with He-initialised weights ([`kaiming_normal`]).
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn new(
        device: &D,
        inputs: I,
        outputs: O,
        kernel: K,
        stride: S,
        padding: P,
        rng: &mut impl Rng,
    ) -> Result<Self, D::Err> {
        let shape = (outputs, inputs, kernel, kernel);
        let fan_out = outputs.size() * kernel.size() * kernel.size();
        let weight = kaiming_normal(fan_out * inputs.size(), fan_out, rng);
        Ok(Self {
            weight: device.try_tensor_from_vec(weight, shape)?,
            stride,
            padding,
        })
    }

    /// Convolves `x`; the weight is on the tape `parameters`.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn forward_with<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &self,
        x: Tensor<(B, I, H, W), f32, D, T>,
        parameters: T,
    ) -> OpResult<ImageShape<B, O>, D, T> {
        let weight = self.weight.clone().put_tape(parameters);
        ops::conv2d(x, weight, self.stride.size(), self.padding.size())
    }
}

impl<I, O, K, S, P, B, H, W, D, T> Module<Tensor<(B, I, H, W), f32, D, T>> for Conv2d<I, O, K, S, P, f32, D>
where
    I: Dim,
    O: Dim,
    K: Dim,
    S: Dim,
    P: Dim,
    B: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    type Output = Tensor<ImageShape<B, O>, f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, I, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        let (x, tape) = x.split_tape();
        let parameters = tape.fork();
        self.forward_with(x.put_tape(tape), parameters)
    }
}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, E: Dtype, D: Storage<E>> NonMutableModule for Conv2d<I, O, K, S, P, E, D> {}

impl<I: Dim, O: Dim, K: Dim, S: Dim, P: Dim, D: Storage<f32>> VisitTensors<D> for Conv2d<I, O, K, S, P, f32, D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        visitor.visit_tensor(&format!("{prefix}weight"), TensorKind::PARAMETER, &self.weight)
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let weight = TensorMut::new(&mut self.weight);
        visitor.visit_tensor_mut(&format!("{prefix}weight"), TensorKind::PARAMETER, weight)
    }
}

impl<const I: usize, const O: usize, const K: usize, const S: usize, const P: usize, D: Device<f32>>
    TensorCollection<f32, D> for Conv2d<Const<I>, Const<O>, Const<K>, Const<S>, Const<P>, f32, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Conv2d<Const<I>, Const<O>, Const<K>, Const<S>, Const<P>, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, D>>(visitor: &mut V) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let he =
            |weight: &mut Tensor<_, f32, D>| super::reset(weight, |n, mut rng| kaiming_normal(n, O * K * K, &mut rng));
        let weight = Self::tensor(
            "weight",
            |s| &s.weight,
            |s| &mut s.weight,
            TensorOptions::reset_with(he),
        );
        visitor.visit_fields((weight,), |(weight,)| Conv2d {
            weight,
            stride: Const,
            padding: Const,
        })
    }
}

impl<const I: usize, const O: usize, const K: usize, const S: usize, const P: usize, D: Device<f32>>
    BuildOnDevice<D, f32> for builder::Conv2d<I, O, K, S, P>
{
    type Built = Conv2d<Const<I>, Const<O>, Const<K>, Const<S>, Const<P>, f32, D>;

    fn try_build_on_device(device: &D) -> Result<Self::Built, D::Err> {
        Self::Built::try_build(device)
    }
}
