//! The cost of a network: weights, multiply-accumulates and bytes of each layer.

use crate::{ActivationRule, Conv, DeployPlan, Graph, NodeId, Op, Shape, op::DisplayShape};
use alloc::{format, string::String, vec::Vec};
use core::fmt;

/// One layer of a [`CostSummary`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(serde::Serialize))]
pub struct LayerSummary {
    /// Name of the node.
    pub name: String,
    /// Shape of the output for one image: channels, height, width.
    pub output: Shape,
    /// Weights that are one bit each once committed.
    pub binary_weights: usize,
    /// Weights in full precision, running statistics included.
    pub float_weights: usize,
    /// Multiply-accumulates for one image that XNOR and popcount compute once committed.
    pub binary_macs: usize,
    /// Multiply-accumulates for one image with a float on at least one side.
    pub float_macs: usize,
    /// Bytes in the packed file, see [`DeployPlan::packed_bytes`].
    pub bytes: usize,
}

/// The cost of a committed network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(serde::Serialize))]
pub struct CostSummary {
    /// The nodes that have weights, in the order of [`Graph::nodes`].
    pub layers: Vec<LayerSummary>,
}

impl CostSummary {
    /// Computes the cost of `graph`. `activations` decides whether the products of a binary convolution are binary.
    pub fn new(graph: &Graph, activations: ActivationRule) -> Self {
        let plan = DeployPlan::new(graph, activations);
        let bytes = plan.packed_bytes(graph);
        let layers = graph.iter().filter_map(|(id, _)| layer(graph, &plan, &bytes, id));
        Self {
            layers: layers.collect(),
        }
    }

    /// The sum over all layers. Its `output` is the last layer's.
    pub fn total(&self) -> LayerSummary {
        let sum = |part: fn(&LayerSummary) -> usize| self.layers.iter().map(part).sum();
        LayerSummary {
            name: String::from("total"),
            output: self.layers.last().map_or([0; 3], |layer| layer.output),
            binary_weights: sum(|layer| layer.binary_weights),
            float_weights: sum(|layer| layer.float_weights),
            binary_macs: sum(|layer| layer.binary_macs),
            float_macs: sum(|layer| layer.float_macs),
            bytes: sum(|layer| layer.bytes),
        }
    }

    /// Bytes of the packed file, without its header.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }
}

fn layer(graph: &Graph, plan: &DeployPlan, bytes: &[usize], id: NodeId) -> Option<LayerSummary> {
    let node = graph.node(id);
    let [_, height, width] = node.shape;
    let weights = |conv: &Conv| conv.outputs * graph.first_input_shape(id)[0] * conv.kernel * conv.kernel;
    let mut layer = LayerSummary {
        name: node.name.clone(),
        output: node.shape,
        binary_weights: 0,
        float_weights: 0,
        binary_macs: 0,
        float_macs: 0,
        bytes: bytes[id.index()],
    };
    match &node.op {
        Op::Conv(conv) => {
            layer.float_weights = weights(conv);
            layer.float_macs = layer.float_weights * height * width;
        }
        Op::BinaryConv(conv) => {
            layer.binary_weights = weights(conv);
            let macs = layer.binary_weights * height * width;
            if plan.is_bits(node.inputs[0]) {
                layer.binary_macs = macs;
            } else {
                layer.float_macs = macs;
            }
        }
        // Scale, shift, running mean and variance. The multiply-add of a batch norm is not counted, as usual.
        Op::BatchNorm => layer.float_weights = 4 * node.shape[0],
        Op::Linear { outputs } => {
            layer.float_macs = outputs * graph.first_input_shape(id).iter().product::<usize>();
            layer.float_weights = layer.float_macs + outputs;
        }
        Op::Input
        | Op::Activation
        | Op::Relu
        | Op::Clip
        | Op::Add
        | Op::MaxPool(_)
        | Op::AveragePool(_)
        | Op::GlobalAveragePool => return None,
    }
    Some(layer)
}

impl fmt::Display for CostSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22} {:>14} {:>15} {:>14} {:>13} {:>12} {:>11}",
            "layer", "output", "binary weights", "float weights", "binary MACs", "float MACs", "bytes"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, layer: &LayerSummary, bytes: usize| {
            writeln!(
                f,
                "{:<22} {:>14} {:>15} {:>14} {:>13} {:>12} {:>11}",
                layer.name,
                format!("{}", DisplayShape(layer.output)),
                layer.binary_weights,
                layer.float_weights,
                layer.binary_macs,
                layer.float_macs,
                bytes
            )
        };
        for layer in &self.layers {
            row(f, layer, layer.bytes)?;
        }
        row(f, &self.total(), self.bytes())?;
        write!(
            f,
            "MACs are for one image. Bytes are those of the packed file without its header: one bit per binary weight, batch norms as \
             thresholds."
        )
    }
}
