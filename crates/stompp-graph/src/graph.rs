//! A finished graph and its properties.

use crate::{Op, Unit, unit};
use alloc::{format, string::String, vec, vec::Vec};

/// Channels, height and width. A vector of `n` entries is `[n, 1, 1]`.
pub type Shape = [usize; 3];

/// Index of a node. Nodes are numbered in the order in which they were added; the input is node 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The index into [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// One op of a network, with its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Unique name, such as `layer1.0.conv1`. The names of its tensors begin with it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes that it reads.
    pub inputs: Vec<NodeId>,
    /// Shape of its output for one image.
    pub shape: Shape,
}

/// A network: nodes in topological order, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
    output: NodeId,
    order: Vec<NodeId>,
    consumers: Vec<Vec<NodeId>>,
}

/// The role of a tensor in its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// The weight of a convolution or linear layer, or the scale of a batch norm.
    Weight,
    /// The bias of a linear layer, or the shift of a batch norm.
    Bias,
    /// The running mean of a batch norm.
    RunningMean,
    /// The running variance of a batch norm.
    RunningVar,
}

/// Name and shape of one tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The node that it belongs to.
    pub node: NodeId,
    /// Name in files, such as `layer1.0.bn1.running_mean` (torchvision's).
    pub name: String,
    /// Its role in the node.
    pub role: TensorRole,
    /// Shape: (O, I, K, K) of a convolution, (O, I) of a linear layer, else (C,).
    pub shape: Vec<usize>,
}

impl Graph {
    /// Creates a graph of `nodes` in topological order. `output` must depend on all of them.
    pub(crate) fn new(nodes: Vec<Node>, output: NodeId) -> Self {
        let mut consumers = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            for input in &node.inputs {
                consumers[input.0].push(NodeId(index));
            }
        }
        Self {
            order: execution_order(&nodes, output),
            consumers,
            nodes,
            output,
        }
    }

    /// All nodes, in the order in which they were added. Each comes after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes with their ids, in the order of [`Graph::nodes`].
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index), node))
    }

    /// The order in which nodes are computed; it is topological, too. The second input of a sum is computed before the first, so that a
    /// block's shortcut comes before its convolutions. Gradients are summed in the reverse order, which determines their exact bits.
    pub fn execution_order(&self) -> &[NodeId] {
        &self.order
    }

    /// The node with this id.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The id of the node with this name, if there is one.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The nodes that read `id`, in the order of [`Graph::nodes`]. A node that reads it twice is listed twice.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    pub fn consumers(&self, id: NodeId) -> &[NodeId] {
        &self.consumers[id.0]
    }

    /// The input node: the images.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The output node.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// Shape of an image.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// Shape of the output for one image.
    pub fn output_shape(&self) -> Shape {
        self.node(self.output).shape
    }

    /// Shape of the first input of `id`.
    ///
    /// # Panics
    /// If `id` is the graph's input or belongs to another, larger graph.
    pub fn first_input_shape(&self, id: NodeId) -> Shape {
        self.node(self.node(id).inputs[0]).shape
    }

    /// The units that freeze: each binary convolution with the activation that feeds it, in the order of [`Graph::nodes`].
    pub fn units(&self) -> Vec<Unit> {
        unit::units(self)
    }

    /// The [`Op::Activation`] nodes that feed no binary convolution, such as the one before the average pool. They belong to no
    /// unit.
    pub fn head_activations(&self) -> Vec<NodeId> {
        unit::head_activations(self)
    }

    /// The [`Op::Activation`] node whose entries `id` passes on: `id` itself, or the activation in front of a chain of maximum pools
    /// that ends with `id`. If that activation is binary, so is every entry of `id`.
    ///
    /// # Panics
    /// If `id` belongs to another, larger graph.
    pub fn binary_source(&self, id: NodeId) -> Option<NodeId> {
        // A loop instead of recursion: a file can have more pools in a row than the stack has frames.
        let mut id = id;
        loop {
            let node = self.node(id);
            match node.op {
                Op::Activation => return Some(id),
                Op::MaxPool(_) => id = node.inputs[0],
                _ => return None,
            }
        }
    }

    /// Number of products in the sum for each output of the convolution or linear layer `id`.
    ///
    /// # Panics
    /// If `id` is the graph's input or belongs to another, larger graph.
    pub fn patch_entries(&self, id: NodeId) -> usize {
        let shape @ [channels, ..] = self.first_input_shape(id);
        match self.node(id).op {
            Op::Conv(conv) | Op::BinaryConv(conv) => channels * conv.kernel * conv.kernel,
            _ => shape.iter().product(),
        }
    }

    /// All tensors of a trained network, in the order of [`Graph::nodes`]. For ResNets this is torchvision's order.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        for (id, node) in self.iter() {
            let mut add = |suffix: &str, role, shape| {
                tensors.push(TensorSpec {
                    node: id,
                    name: format!("{}.{suffix}", node.name),
                    role,
                    shape,
                });
            };
            match node.op {
                Op::Conv(conv) | Op::BinaryConv(conv) => {
                    let [inputs, ..] = self.first_input_shape(id);
                    let shape = vec![conv.outputs, inputs, conv.kernel, conv.kernel];
                    add("weight", TensorRole::Weight, shape);
                }
                Op::BatchNorm => {
                    let shape = || vec![node.shape[0]];
                    add("weight", TensorRole::Weight, shape());
                    add("bias", TensorRole::Bias, shape());
                    add("running_mean", TensorRole::RunningMean, shape());
                    add("running_var", TensorRole::RunningVar, shape());
                }
                Op::Linear { outputs } => {
                    let inputs = self.first_input_shape(id).iter().product();
                    add("weight", TensorRole::Weight, vec![outputs, inputs]);
                    add("bias", TensorRole::Bias, vec![outputs]);
                }
                Op::Input
                | Op::Activation
                | Op::Relu
                | Op::Clip
                | Op::Add
                | Op::MaxPool(_)
                | Op::AveragePool(_)
                | Op::GlobalAveragePool => {}
            }
        }
        tensors
    }
}

/// The nodes that `output` depends on, each after its inputs. The last input of a node comes first.
fn execution_order(nodes: &[Node], output: NodeId) -> Vec<NodeId> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut done = vec![false; nodes.len()];
    // A node, and how many of its inputs have been visited, from the last one. A stack instead of recursion, because networks are deep.
    let mut stack = vec![(output, 0)];
    while let Some((id, entered)) = stack.pop() {
        if done[id.0] {
            continue;
        }
        let inputs = &nodes[id.0].inputs;
        match inputs.iter().rev().nth(entered) {
            Some(&input) => {
                stack.push((id, entered + 1));
                stack.push((input, 0));
            }
            None => {
                done[id.0] = true;
                order.push(id);
            }
        }
    }
    order
}
