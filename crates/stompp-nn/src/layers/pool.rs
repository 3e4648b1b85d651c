//! Pooling layers; they have no parameters.

use crate::{ImageShape, backend::Backend, ops, tape::Recording};
use dfdx::{
    nn::{Module, NonMutableModule, ZeroSizedModule},
    shapes::Dim,
    tensor::Tensor,
};

/// Mean over height and width: (N, C, H, W) to (N, C).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalAveragePool;

/// Maximum over K x K windows, padding PAD (as minus infinity): (N, C, H, W) to (N, C, H', W').
///
/// The ImageNet stem is `MaxPool2d<3, 2, 1>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPool2d<const K: usize, const STRIDE: usize, const PAD: usize>;

impl ZeroSizedModule for GlobalAveragePool {}
impl NonMutableModule for GlobalAveragePool {}
impl<const K: usize, const STRIDE: usize, const PAD: usize> ZeroSizedModule for MaxPool2d<K, STRIDE, PAD> {}
impl<const K: usize, const STRIDE: usize, const PAD: usize> NonMutableModule for MaxPool2d<K, STRIDE, PAD> {}

impl<B: Dim, C: Dim, H: Dim, W: Dim, D: Backend, T: Recording<D>> Module<Tensor<(B, C, H, W), f32, D, T>>
    for GlobalAveragePool
{
    type Output = Tensor<(B, C), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        ops::global_average_pool(x)
    }
}

impl<const K: usize, const STRIDE: usize, const PAD: usize, B, C, H, W, D, T> Module<Tensor<(B, C, H, W), f32, D, T>>
    for MaxPool2d<K, STRIDE, PAD>
where
    B: Dim,
    C: Dim,
    H: Dim,
    W: Dim,
    D: Backend,
    T: Recording<D>,
{
    type Output = Tensor<ImageShape<B, C>, f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        ops::max_pool(x, K, STRIDE, PAD)
    }
}
