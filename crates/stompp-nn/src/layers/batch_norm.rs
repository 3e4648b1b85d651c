//! Batch normalisation as a layer.

use crate::{
    BatchReduction, OpResult, Recomputable, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut,
    backend::{Backend, BatchMoments},
    ops::{self, RunningStatistics},
    tape::Recording,
};
use dfdx::{
    dtypes::Dtype,
    nn::{
        BuildModule, BuildOnDevice, Module, ModuleMut, ModuleVisitor, ScalarOptions, TensorCollection, TensorOptions,
    },
    shapes::{Const, Dim},
    tensor::{NoneTape, PutTape, SplitTape, Storage, Tensor},
    tensor_ops::Device,
};

use stompp_kernels::ChannelShape;

/// See [`BatchNorm2d`](super::BatchNorm2d).
pub(super) mod builder {
    /// Batch normalisation of C channels.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BatchNorm2d<const C: usize>;
}

/// PyTorch's default: added to the variance.
const EPS: f32 = 1e-5;
/// PyTorch's default: share of the newest batch in the running statistics.
const MOMENTUM: f32 = 0.1;

/// Batch normalisation over (N, H, W), per channel, as in PyTorch.
///
/// In training (`forward_mut`, with any tape) it normalises by the batch's mean and biased variance, and moves the running
/// statistics towards the batch's mean and unbiased variance. In evaluation (`forward`, off the tape only) it normalises by the running
/// statistics and changes nothing.
#[derive(Clone, Debug)]
pub struct BatchNorm2d<C: Dim, E: Dtype, D: Storage<E>> {
    /// Scale, shape (C,), initially 1; torchvision calls it `weight`.
    pub scale: Tensor<(C,), E, D>,
    /// Shift, shape (C,), initially 0; torchvision calls it `bias`.
    pub shift: Tensor<(C,), E, D>,
    /// Running mean, shape (C,), initially 0.
    pub running_mean: Tensor<(C,), E, D>,
    /// Running unbiased variance, shape (C,), initially 1.
    pub running_var: Tensor<(C,), E, D>,
    /// Added to the variance: 1e-5.
    pub eps: f32,
    /// Share of the newest batch in the running statistics: 0.1.
    pub momentum: f32,
}

impl<C: Dim, D: Backend> BatchNorm2d<C, f32, D> {
    /// Creates a layer with scale 1, shift 0, running mean 0 and running variance 1.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn new(device: &D, channels: C) -> Result<Self, D::Err> {
        let shape = (channels,);
        Ok(Self {
            scale: device.try_ones_like(&shape)?,
            shift: device.try_zeros_like(&shape)?,
            running_mean: device.try_zeros_like(&shape)?,
            running_var: device.try_ones_like(&shape)?,
            eps: EPS,
            momentum: MOMENTUM,
        })
    }

    /// Normalises a training batch and updates the running statistics. Scale and shift are on the tape `parameters`.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn forward_with<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &mut self,
        x: Tensor<(B, C, H, W), f32, D, T>,
        parameters: T,
    ) -> OpResult<(B, C, H, W), D, T> {
        Ok(self.forward_recomputable(x, parameters)?.0)
    }

    /// As [`BatchNorm2d::forward_with`]. If the result is on a tape, also returns a way to compute its values again in the backward pass.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    #[allow(clippy::type_complexity)] // one dimension a letter, as everywhere
    pub fn forward_recomputable<B: Dim, H: Dim, W: Dim, T: Recording<D>>(
        &mut self,
        x: Tensor<(B, C, H, W), f32, D, T>,
        parameters: T,
    ) -> Result<Recomputable<(B, C, H, W), D, T>, D::Err> {
        let scale = self.scale.clone().put_tape(parameters);
        let (shift, eps) = (self.shift.clone(), self.eps);
        ops::batch_norm_recomputable(x, scale, shift, eps, self.running())
    }

    /// Returns the moments of a training batch and updates the running statistics, for ops that normalise by themselves.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub fn update_running(
        &mut self,
        shape: &ChannelShape,
        reduction: &BatchReduction,
        x: D::Slice<'_>,
    ) -> Result<BatchMoments<D>, D::Err> {
        let (device, eps) = (self.scale.device().clone(), self.eps);
        self.running().update(&device, shape, eps, reduction, x)
    }

    fn running(&mut self) -> RunningStatistics<'_, C, D> {
        RunningStatistics {
            mean: &mut self.running_mean,
            variance: &mut self.running_var,
            momentum: self.momentum,
        }
    }
}

impl<B: Dim, C: Dim, H: Dim, W: Dim, D: Backend> Module<Tensor<(B, C, H, W), f32, D>> for BatchNorm2d<C, f32, D> {
    type Output = Tensor<(B, C, H, W), f32, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, C, H, W), f32, D, NoneTape>) -> Result<Self::Output, D::Err> {
        ops::batch_norm_running(
            x,
            &self.running_mean,
            &self.running_var,
            &self.scale,
            &self.shift,
            self.eps,
        )
    }
}

impl<B, C, H, W, D, T> ModuleMut<Tensor<(B, C, H, W), f32, D, T>> for BatchNorm2d<C, f32, D>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    type Output = Tensor<(B, C, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward_mut(&mut self, x: Tensor<(B, C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        let (x, tape) = x.split_tape();
        let parameters = tape.fork();
        self.forward_with(x.put_tape(tape), parameters)
    }
}

impl<C: Dim, D: Storage<f32>> VisitTensors<D> for BatchNorm2d<C, f32, D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let mut show = |name, kind, tensor| visitor.visit_tensor(&format!("{prefix}{name}"), kind, tensor);
        show("weight", TensorKind::PARAMETER, &self.scale)?;
        show("bias", TensorKind::PARAMETER, &self.shift)?;
        show("running_mean", TensorKind::Statistic, &self.running_mean)?;
        show("running_var", TensorKind::Statistic, &self.running_var)
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        let mut show =
            |name, kind, tensor| visitor.visit_tensor_mut(&format!("{prefix}{name}"), kind, TensorMut::new(tensor));
        show("weight", TensorKind::PARAMETER, &mut self.scale)?;
        show("bias", TensorKind::PARAMETER, &mut self.shift)?;
        show("running_mean", TensorKind::Statistic, &mut self.running_mean)?;
        show("running_var", TensorKind::Statistic, &mut self.running_var)
    }
}

impl<const C: usize, D: Device<f32>> TensorCollection<f32, D> for BatchNorm2d<Const<C>, f32, D> {
    type To<E2: Dtype, D2: Device<E2>> = BatchNorm2d<Const<C>, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, D>>(visitor: &mut V) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor("scale", |s| &s.scale, |s| &mut s.scale, TensorOptions::reset_to_ones()),
                Self::tensor("shift", |s| &s.shift, |s| &mut s.shift, TensorOptions::reset_to_zeros()),
                Self::tensor(
                    "running_mean",
                    |s| &s.running_mean,
                    |s| &mut s.running_mean,
                    TensorOptions::detached(|t| t.try_fill_with_zeros()),
                ),
                Self::tensor(
                    "running_var",
                    |s| &s.running_var,
                    |s| &mut s.running_var,
                    TensorOptions::detached(|t| t.try_fill_with_ones()),
                ),
                Self::scalar("eps", |s| &s.eps, |s| &mut s.eps, ScalarOptions::from_default(EPS)),
                Self::scalar(
                    "momentum",
                    |s| &s.momentum,
                    |s| &mut s.momentum,
                    ScalarOptions::from_default(MOMENTUM),
                ),
            ),
            |(scale, shift, running_mean, running_var, eps, momentum)| BatchNorm2d {
                scale,
                shift,
                running_mean,
                running_var,
                eps,
                momentum,
            },
        )
    }
}

impl<const C: usize, D: Device<f32>> BuildOnDevice<D, f32> for builder::BatchNorm2d<C> {
    type Built = BatchNorm2d<Const<C>, f32, D>;

    fn try_build_on_device(device: &D) -> Result<Self::Built, D::Err> {
        Self::Built::try_build(device)
    }
}
