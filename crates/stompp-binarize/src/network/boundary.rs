//! Where the backward pass ends: which nodes a gradient reaches. Computed at each step from the freeze states.

use stompp_graph::{Graph, NodeId};

/// Which gradients a training pass records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boundary {
    /// Whether the gradient of the loss reaches a node.
    reached: Vec<bool>,
    /// Whether a node's gradient is needed: the node has parameters that learn, or passes the gradient on to nodes that have some.
    needs_grad: Vec<bool>,
}

impl Boundary {
    /// Computes the boundary of `graph`. `blocks` says whether no gradient passes a node, `learns` whether a node has parameters that
    /// learn.
    ///
    /// The gradient reaches a node if it reaches and passes one of the nodes that read it. A node's gradient is needed if the node has
    /// parameters that learn, or if the node does not block and the gradient of one of its inputs is needed.
    pub(super) fn new(graph: &Graph, blocks: impl Fn(NodeId) -> bool, learns: impl Fn(NodeId) -> bool) -> Self {
        let count = graph.nodes().len();
        let (mut reached, mut needs_grad) = (vec![false; count], vec![false; count]);
        reached[graph.output().index()] = true;
        for (id, node) in graph.iter().rev() {
            if reached[id.index()] && !blocks(id) {
                node.inputs.iter().for_each(|input| reached[input.index()] = true);
            }
        }
        for (id, node) in graph.iter() {
            let upstream = node.inputs.iter().any(|input| needs_grad[input.index()]);
            needs_grad[id.index()] = learns(id) || (upstream && !blocks(id));
        }
        Self { reached, needs_grad }
    }

    /// Whether the parameters of `id` get a gradient.
    pub(super) fn needs_parameter_gradient(&self, id: NodeId) -> bool {
        self.reached[id.index()]
    }

    /// Whether `reader` must compute the gradient of `input`, one of its inputs.
    pub(super) fn needs_input_gradient(&self, reader: NodeId, input: NodeId) -> bool {
        self.reached[reader.index()] && self.needs_grad[input.index()]
    }
}
