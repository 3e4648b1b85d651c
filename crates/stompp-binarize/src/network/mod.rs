//! The network: a [`Graph`] with weights on a device, which trains and freezes.

mod boundary;
mod build;
mod evaluate;
mod freeze;
mod plan;
mod reduce;
mod train;
mod values;

use crate::{Activation, Binarization, BinaryBackend, BinaryConv2d, EvalMode};
use dfdx::tensor::{NoneTape, Tensor};
use plan::{LayerIndex, Step};
use std::sync::{Arc, Mutex};
use stompp_graph::{Graph, NodeId};
use stompp_nn::{
    BatchNorm2d, BatchReduction, Conv2d, GradientBuckets, ImageShape, Linear, VisitTensors, Visitor, VisitorMut,
};

/// Feature maps of a batch, (N, C, H, W).
pub type Feature<D, T = NoneTape> = Tensor<ImageShape<usize, usize>, f32, D, T>;

/// A convolution whose sizes are known at run time.
type DenseConv<D> = Conv2d<usize, usize, usize, usize, usize, f32, D>;
/// The same with a weight that freezes.
type BinaryConv<D> = BinaryConv2d<usize, usize, usize, usize, usize, D>;
type Norm<D> = BatchNorm2d<usize, f32, D>;
type Head<D> = Linear<usize, usize, f32, D>;

/// A network described by a [`Graph`], on a device.
///
/// [`Network::forward_train`] computes logits and records what the backward pass needs; [`Network::evaluate`] computes them from
/// running statistics and changes nothing. A [`Freezer`](crate::Freezer) freezes it. Tensors are named after their nodes
/// and visited in the order of [`Graph::nodes`].
///
/// ```
/// use dfdx::prelude::*;
/// use stompp_binarize::{Binarization, Freezable, Network, EvalMode};
/// use stompp_graph::{Conv, GraphBuilder};
/// use stompp_nn::{SwitchTape, ops};
///
/// let mut g = GraphBuilder::new([3, 8, 8]);
/// let x = g.conv("conv1", g.input(), Conv::k3(8))?;
/// let x = g.batch_norm("bn1", x)?;
/// let a = g.activation("act1", x)?;
/// let y = g.binary_conv("conv2", a, Conv::k3(8))?;
/// let y = g.global_average_pool("pool", y)?;
/// let logits = g.linear("fc", y, 10)?;
/// let graph = g.finish(logits)?;
///
/// let device = Cpu::default();
/// let mut network = Network::new(&device, &graph, Binarization::BNN, 0)?;
/// let images = device.sample_normal_like(&(4, 3, 8, 8));
/// let logits = network.forward_train(images.clone())?;
/// let loss = ops::cross_entropy(logits, &[0, 1, 2, 3])?;
/// let gradients = SwitchTape::into_owned_tape(loss).expect("the last layer always learns").backward();
/// # let _ = gradients;
///
/// network.commit_all();
/// let logits = network.evaluate(images, EvalMode::Binarized)?;
/// assert_eq!(*logits.shape(), (4, 10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Network<D: BinaryBackend> {
    graph: Arc<Graph>,
    binarization: Binarization,
    device: D,
    layers: Layers<D>,
    /// Batch norms, whose running statistics follow each training pass.
    norms: Vec<Norm<D>>,
    /// Where each node's layer is.
    bindings: Arc<[LayerIndex]>,
    /// The steps of a training pass, in order.
    steps: Arc<[Step]>,
    /// How training passes compute sums over the batch.
    reduction: BatchReduction,
    /// The gradients of the last training pass that are being added over processes.
    buckets: Arc<Mutex<GradientBuckets>>,
}

/// The layers that a pass only reads, by kind.
#[derive(Clone, Debug)]
struct Layers<D: BinaryBackend> {
    convs: Vec<DenseConv<D>>,
    binary_convs: Vec<BinaryConv<D>>,
    activations: Vec<Activation>,
    linears: Vec<Head<D>>,
}

impl<D: BinaryBackend> Layers<D> {
    /// Whether every output of node `id` is -1 or +1 in `mode`.
    fn has_binary_output(&self, graph: &Graph, bindings: &[LayerIndex], id: NodeId, mode: EvalMode) -> bool {
        let source = graph.binary_source(id).map(|source| bindings[source.index()]);
        matches!(source, Some(LayerIndex::Activation(index)) if self.activations[index].is_binary(mode))
    }
}

impl<D: BinaryBackend> Network<D> {
    /// The graph of the network.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Which parts of the network freeze, and which gradient frozen entries get.
    pub fn binarization(&self) -> Binarization {
        self.binarization
    }

    /// The device of the network.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Sets the momentum of every batch norm: the share of the newest batch in its running statistics. Initially 0.1.
    pub fn set_statistics_momentum(&mut self, momentum: f32) {
        self.norms.iter_mut().for_each(|norm| norm.momentum = momentum);
    }

    /// Sets how training passes compute sums over the batch: in which slices, and over which processes. Initially this process has the
    /// whole batch, in one slice.
    pub fn set_reduction(&mut self, reduction: BatchReduction) {
        self.reduction = reduction;
    }

    /// How training passes compute sums over the batch.
    pub fn reduction(&self) -> &BatchReduction {
        &self.reduction
    }

    /// Panics unless `images` have the graph's input shape.
    fn check_images<T>(&self, images: &Feature<D, T>) {
        use dfdx::shapes::HasShape;
        let (_, channels, height, width) = *images.shape();
        assert_eq!(
            [channels, height, width],
            self.graph.input_shape(),
            "the images do not have the network's size"
        );
    }
}

impl<D: BinaryBackend> VisitTensors<D> for Network<D> {
    fn visit<V: Visitor<D>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        for (node, binding) in self.graph.nodes().iter().zip(&*self.bindings) {
            let prefix = format!("{prefix}{}.", node.name);
            match *binding {
                LayerIndex::None | LayerIndex::Activation(_) => {}
                LayerIndex::Conv(index) => self.layers.convs[index].visit(&prefix, visitor)?,
                LayerIndex::BinaryConv(index) => self.layers.binary_convs[index].visit(&prefix, visitor)?,
                LayerIndex::Norm(index) => self.norms[index].visit(&prefix, visitor)?,
                LayerIndex::Linear(index) => self.layers.linears[index].visit(&prefix, visitor)?,
            }
        }
        Ok(())
    }

    fn visit_mut<V: VisitorMut<D>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
        for (node, binding) in self.graph.nodes().iter().zip(&*self.bindings) {
            let prefix = format!("{prefix}{}.", node.name);
            match *binding {
                LayerIndex::None | LayerIndex::Activation(_) => {}
                LayerIndex::Conv(index) => self.layers.convs[index].visit_mut(&prefix, visitor)?,
                LayerIndex::BinaryConv(index) => self.layers.binary_convs[index].visit_mut(&prefix, visitor)?,
                LayerIndex::Norm(index) => self.norms[index].visit_mut(&prefix, visitor)?,
                LayerIndex::Linear(index) => self.layers.linears[index].visit_mut(&prefix, visitor)?,
            }
        }
        Ok(())
    }
}
