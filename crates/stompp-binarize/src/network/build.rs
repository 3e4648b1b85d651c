//! Allocation and initial weights.

use super::{
    Layers, Network,
    plan::{LayerIndex, steps},
};
use crate::{Activation, Binarization, BinaryBackend, BinaryConv2d};
use dfdx::tensor::HasErr;
use std::sync::Arc;
use stompp_graph::{ActivationRule, Conv, Graph, NodeId, Op};
use stompp_nn::{BatchNorm2d, BatchReduction, Conv2d, Linear};
use stompp_rng::{Purpose, stream};

impl<D: BinaryBackend> Network<D> {
    /// Creates a network with nothing frozen and initial weights drawn from `seed`.
    ///
    /// Convolutions are initialized as by He et al. (fan-out), linear layers as by PyTorch. The weights of each layer come from a
    /// stream of their own. Streams are numbered in the order of [`Graph::nodes`].
    ///
    /// # Errors
    /// Returns `D::Err` if the device cannot allocate the tensors.
    pub fn new(device: &D, graph: &Graph, binarization: Binarization, seed: u64) -> Result<Self, D::Err> {
        let graph = Arc::new(graph.clone());
        let mut layers = Layers {
            convs: Vec::new(),
            binary_convs: Vec::new(),
            activations: Vec::new(),
            linears: Vec::new(),
        };
        let mut norms = Vec::new();
        let mut drawn = 0;
        let mut next_stream = || {
            drawn += 1;
            stream(seed, Purpose::INITIAL_WEIGHTS, drawn, 0)
        };
        let bindings = graph
            .iter()
            .map(|(id, node)| {
                let mut conv = |conv: Conv| -> Result<_, <D as HasErr>::Err> {
                    let [inputs, ..] = graph.first_input_shape(id);
                    Conv2d::new(
                        device,
                        inputs,
                        conv.outputs,
                        conv.kernel,
                        conv.stride,
                        conv.padding,
                        &mut next_stream(),
                    )
                };
                Ok(match node.op {
                    Op::Conv(sizes) => LayerIndex::Conv(push(&mut layers.convs, conv(sizes)?)),
                    Op::BinaryConv(sizes) => {
                        let conv = BinaryConv2d::new(conv(sizes)?, binarization.weight_surrogate);
                        LayerIndex::BinaryConv(push(&mut layers.binary_convs, conv))
                    }
                    Op::BatchNorm => LayerIndex::Norm(push(&mut norms, BatchNorm2d::new(device, node.shape[0])?)),
                    Op::Activation => {
                        let activation = binarization.activation(binarization.activations, node.shape);
                        LayerIndex::Activation(push(&mut layers.activations, activation))
                    }
                    Op::Relu => LayerIndex::Activation(push(&mut layers.activations, Activation::Relu)),
                    Op::Clip => {
                        let clip = binarization.activation(ActivationRule::Clip, node.shape);
                        LayerIndex::Activation(push(&mut layers.activations, clip))
                    }
                    Op::Linear { outputs } => {
                        let inputs = graph.first_input_shape(id).iter().product();
                        let linear = Linear::new(device, inputs, outputs, &mut next_stream())?;
                        LayerIndex::Linear(push(&mut layers.linears, linear))
                    }
                    Op::Input | Op::Add | Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool => {
                        LayerIndex::None
                    }
                })
            })
            .collect::<Result<Vec<_>, D::Err>>()?;
        Ok(Self {
            steps: steps(&graph).into(),
            reduction: BatchReduction::default(),
            buckets: Arc::default(),
            bindings: bindings.into(),
            graph,
            binarization,
            device: device.clone(),
            layers,
            norms,
        })
    }

    /// The layer of a node.
    pub(super) fn layer_index(&self, id: NodeId) -> LayerIndex {
        self.bindings[id.index()]
    }
}

fn push<T>(layers: &mut Vec<T>, layer: T) -> usize {
    layers.push(layer);
    layers.len() - 1
}
