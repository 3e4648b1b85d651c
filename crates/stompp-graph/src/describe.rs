//! A serializable description of a graph for other programs: nodes, units and costs.

use crate::{ActivationRule, Conv, CostSummary, Graph, LayerSummary, NodeId, Op, Pool, Shape};
use serde::Serialize;
use std::collections::HashMap;

/// A graph with its units and costs. `stompp summary --format json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The function of the activations.
    pub activations: ActivationRule,
    /// Shape of an image: channels, height, width.
    pub input: Shape,
    /// Name of the output node.
    pub output: String,
    /// The nodes, in the order of [`Graph::nodes`]; the first one is the input.
    pub nodes: Vec<NodeDescription>,
    /// Names of the activations that belong to no unit, see [`Graph::head_activations`].
    pub head_activations: Vec<String>,
    /// All nodes together.
    pub total: CostDescription,
}

/// One node of a [`Description`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeDescription {
    /// Its name.
    pub name: String,
    /// Its op, as in the text form; `input` for the images.
    pub op: &'static str,
    /// Names of the nodes that it reads.
    pub inputs: Vec<String>,
    /// Shape of its output for one image: channels, height, width.
    pub shape: Shape,
    /// Side of its kernel or window, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Step between windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Entries around the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<usize>,
    /// Number of the unit that it freezes with, an index into [`Graph::units`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<usize>,
    /// Its costs; zeros for nodes without weights.
    #[serde(flatten)]
    pub costs: CostDescription,
}

/// Costs of nodes of a committed network, for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CostDescription {
    /// Weights that are one bit each.
    pub binary_weights: usize,
    /// Weights in full precision, running statistics included.
    pub float_weights: usize,
    /// Multiply-accumulates that XNOR and popcount compute.
    pub binary_macs: usize,
    /// Multiply-accumulates with a float on at least one side.
    pub float_macs: usize,
    /// Bytes of all weights as 32-bit floats, as in `network.safetensors`, without its header.
    pub float_bytes: usize,
    /// Bytes in the packed file, see [`DeployPlan::packed_bytes`](crate::DeployPlan::packed_bytes).
    pub packed_bytes: usize,
}

impl From<LayerSummary> for CostDescription {
    fn from(layer: LayerSummary) -> Self {
        Self {
            binary_weights: layer.binary_weights,
            float_weights: layer.float_weights,
            binary_macs: layer.binary_macs,
            float_macs: layer.float_macs,
            float_bytes: 4 * (layer.binary_weights + layer.float_weights),
            packed_bytes: layer.bytes,
        }
    }
}

impl Description {
    /// Describes `graph` with this kind of activations.
    pub fn new(graph: &Graph, activations: ActivationRule) -> Self {
        let summary = CostSummary::new(graph, activations);
        let total = summary.total().into();
        let layers = summary
            .layers
            .into_iter()
            .map(|layer| (layer.name.clone(), layer.into()));
        let costs: HashMap<String, CostDescription> = layers.collect();
        let mut units = HashMap::new();
        for (number, unit) in graph.units().into_iter().enumerate() {
            units.extend(
                [Some(unit.conv), unit.activation]
                    .into_iter()
                    .flatten()
                    .map(|id| (id, number)),
            );
        }
        let name = |id: NodeId| graph.node(id).name.clone();
        let nodes = graph.iter().map(|(id, node)| {
            let windows = windows(&node.op);
            NodeDescription {
                name: node.name.clone(),
                op: node.op.name(),
                inputs: node.inputs.iter().copied().map(name).collect(),
                shape: node.shape,
                kernel: windows.map(|windows| windows.kernel),
                stride: windows.map(|windows| windows.stride),
                padding: windows.map(|windows| windows.padding),
                unit: units.get(&id).copied(),
                costs: costs.get(&node.name).copied().unwrap_or_default(),
            }
        });
        Self {
            activations,
            input: graph.input_shape(),
            output: name(graph.output()),
            nodes: nodes.collect(),
            head_activations: graph.head_activations().into_iter().map(name).collect(),
            total,
        }
    }
}

fn windows(op: &Op) -> Option<Pool> {
    match *op {
        Op::Conv(conv) | Op::BinaryConv(conv) => Some(Conv::windows(conv)),
        Op::MaxPool(pool) | Op::AveragePool(pool) => Some(pool),
        _ => None,
    }
}
