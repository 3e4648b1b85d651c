//! The inference plan of a deployed network: groups nodes into steps, and counts the bytes of each node in the packed file.

use crate::{ActivationRule, Graph, NodeId, Op};
use alloc::{vec, vec::Vec};

/// One step of a deployed network: a layer and the nodes that follow it. No other node reads a value inside the step.
///
/// The value is `activation(norm(main(input)) + residual)`. Every part but the input may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployStep {
    /// The convolution, linear layer or pool. `None` if the step begins with a batch norm, a sum or an activation.
    pub main: Option<NodeId>,
    /// The node that `main` reads. Without `main`, the node that the first node of the step reads.
    pub input: NodeId,
    /// The batch norm.
    pub norm: Option<NodeId>,
    /// The sum, and its input from outside this step.
    pub sum: Option<(NodeId, NodeId)>,
    /// The [`Op::Activation`], [`Op::Relu`] or [`Op::Clip`].
    pub activation: Option<NodeId>,
    /// An [`Op::Activation`] that reads the step's value, if other nodes read that value too. The step then also computes the signs.
    pub signs: Option<NodeId>,
    /// The last node of the step, apart from `signs`. Its value is the step's value.
    pub output: NodeId,
    /// Number of thresholds per channel, if the signs come from comparing the integer sums of a binary convolution with thresholds.
    /// It is 1, or 2 if a shortcut of signs is added before the activation.
    pub thresholds: Option<usize>,
}

/// The steps of a graph with committed weights, and which values are bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployPlan {
    steps: Vec<DeployStep>,
    is_bits: Vec<bool>,
}

impl DeployPlan {
    /// Plans the inference of `graph` with these activations.
    ///
    /// ```
    /// use stompp_graph::{ActivationRule, Conv, DeployPlan, GraphBuilder};
    ///
    /// let mut g = GraphBuilder::new([8, 4, 4]);
    /// let a = g.activation("act1", g.input())?;
    /// let x = g.binary_conv("conv", a, Conv::k3(8))?;
    /// let x = g.batch_norm("bn", x)?;
    /// let x = g.add("add", x, a)?;
    /// let x = g.activation("act2", x)?;
    /// let graph = g.finish(x)?;
    ///
    /// let plan = DeployPlan::new(&graph, ActivationRule::Quantized);
    /// assert_eq!(plan.steps().len(), 2); // `act1`, then all the others
    /// assert_eq!(plan.steps()[1].thresholds, Some(2));
    /// # Ok::<(), stompp_graph::GraphError>(())
    /// ```
    pub fn new(graph: &Graph, activations: ActivationRule) -> Self {
        let is_bits = signs(graph, activations);
        let order = graph.execution_order();
        let mut position = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, id)| position[id.index()] = at);
        let mut taken = vec![false; order.len()];
        let mut ending_at: Vec<Option<DeployStep>> = vec![None; order.len()];
        for &id in order {
            if !taken[id.index()] && graph.node(id).op != Op::Input {
                let step = step(graph, activations, &is_bits, &position, &mut taken, id);
                let at = position[step.output.index()];
                ending_at[at] = Some(step);
            }
        }
        Self {
            steps: ending_at.into_iter().flatten().collect(),
            is_bits,
        }
    }

    /// The steps, in the order in which they are computed.
    pub fn steps(&self) -> &[DeployStep] {
        &self.steps
    }

    /// Whether every entry of the output of `id` is -1 or +1. The value is then stored as bits.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    pub fn is_bits(&self, id: NodeId) -> bool {
        self.is_bits[id.index()]
    }

    /// Bytes of each node in the packed file, in the order of [`Graph::nodes`], without the file's header.
    ///
    /// A binary weight is one bit. The bits of each kernel entry are padded to whole bytes if the number of input channels is not a
    /// multiple of 8. A batch norm is stored as thresholds of 2 bytes each (4 if sums exceed 16 bits), or as three floats per channel.
    pub fn packed_bytes(&self, graph: &Graph) -> Vec<usize> {
        let mut bytes = vec![0; graph.nodes().len()];
        for step in &self.steps {
            if let Some(main) = step.main {
                bytes[main.index()] = main_bytes(graph, main);
            }
            let channels = graph.node(step.output).shape[0];
            match (step.thresholds, step.norm, step.main) {
                (Some(count), norm, Some(main)) => {
                    bytes[norm.unwrap_or(main).index()] += channels * count * threshold_bytes(graph, main);
                }
                (_, Some(norm), _) => bytes[norm.index()] += 3 * 4 * channels,
                _ => {}
            }
        }
        bytes
    }
}

/// Bytes of one threshold of a binary convolution: 2, or 4 if sums do not fit 16 bits.
fn threshold_bytes(graph: &Graph, conv: NodeId) -> usize {
    if graph.patch_entries(conv) < i16::MAX as usize {
        2
    } else {
        4
    }
}

fn main_bytes(graph: &Graph, id: NodeId) -> usize {
    match graph.node(id).op {
        Op::BinaryConv(conv) => conv.outputs * conv.kernel * conv.kernel * graph.first_input_shape(id)[0].div_ceil(8),
        Op::Conv(conv) => 4 * conv.outputs * graph.patch_entries(id),
        Op::Linear { outputs } => 4 * outputs * (graph.patch_entries(id) + 1),
        _ => 0,
    }
}

/// For each node, whether its values are signs.
fn signs(graph: &Graph, activations: ActivationRule) -> Vec<bool> {
    let mut is_bits: Vec<bool> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        is_bits.push(match node.op {
            Op::Activation => activations == ActivationRule::Quantized,
            Op::MaxPool(_) => is_bits[node.inputs[0].index()],
            _ => false,
        });
    }
    is_bits
}

/// Builds the step that begins with `first`, and marks its nodes in `taken`.
fn step(
    graph: &Graph,
    activations: ActivationRule,
    is_bits: &[bool],
    position: &[usize],
    taken: &mut [bool],
    first: NodeId,
) -> DeployStep {
    let is_main = |op| !matches!(op, Op::BatchNorm | Op::Add | Op::Activation | Op::Relu | Op::Clip);
    let op = graph.node(first).op;
    let input = graph.node(first).inputs[0];
    let mut step = DeployStep {
        main: is_main(op).then_some(first),
        input,
        norm: None,
        sum: None,
        activation: None,
        signs: None,
        output: if is_main(op) { first } else { input },
        thresholds: None,
    };
    let is_pool = matches!(op, Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool);
    let mut next = if is_main(op) {
        only_reader(graph, first)
    } else {
        Some(first)
    };
    while let Some(id) = next.filter(|_| !is_pool) {
        let node = graph.node(id);
        match node.op {
            Op::BatchNorm if step.norm.is_none() && step.sum.is_none() => step.norm = Some(id),
            Op::Add if step.sum.is_none() => {
                let other = if node.inputs[0] == step.output {
                    node.inputs[1]
                } else {
                    node.inputs[0]
                };
                // The sum belongs to the step of the input that is computed last.
                if id != first && position[other.index()] > position[step.output.index()] {
                    break;
                }
                step.sum = Some((id, other));
            }
            Op::Activation | Op::Relu | Op::Clip => step.activation = Some(id),
            _ => break,
        }
        taken[id.index()] = true;
        step.output = id;
        next = only_reader(graph, id).filter(|_| step.activation.is_none());
    }
    taken[first.index()] = true;
    let readers = graph.consumers(step.output);
    if step.activation.is_none() && !is_pool && readers.len() > 1 && activations == ActivationRule::Quantized {
        step.signs = readers.iter().copied().find(|id| graph.node(*id).op == Op::Activation);
        if let Some(signs) = step.signs {
            taken[signs.index()] = true;
        }
    }
    let is_binary_conv = matches!(op, Op::BinaryConv(_)) && is_bits[input.index()];
    let other = step.sum.map(|(_, other)| other);
    if is_binary_conv
        && step.activation.is_some()
        && is_bits[step.output.index()]
        && other.is_none_or(|id| is_bits[id.index()])
    {
        step.thresholds = Some(1 + usize::from(other.is_some()));
    }
    step
}

/// The only node that reads `id`, if there is exactly one and it reads it once.
fn only_reader(graph: &Graph, id: NodeId) -> Option<NodeId> {
    match graph.consumers(id) {
        [reader] => Some(*reader),
        _ => None,
    }
}
