//! Where the backward pass ends: which nodes a gradient reaches, found anew at each step from the freeze states.

use stompp_graph::{Graph, NodeId};

/// Which gradients a training pass records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boundary {
    /// Whether the gradient of the loss reaches a node.
    reached: Vec<bool>,
    /// Whether a node's gradient is needed: it has parameters that learn, or passes it on to nodes that have.
    needs_grad: Vec<bool>,
}

impl Boundary {
    /// The boundary of `graph`, where `blocks` says of a node that no gradient passes it at all and `learns` that it has parameters
    /// that learn.
    ///
    /// The gradient reaches a node if it reaches one of the nodes that read it and passes that one. It is needed if a parameter that
    /// learns lies in the node or upstream of it, with nothing that blocks in between.
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

    /// Whether `reader` is to give `input`, one of its inputs, a gradient.
    pub(super) fn needs_input_gradient(&self, reader: NodeId, input: NodeId) -> bool {
        self.reached[reader.index()] && self.needs_grad[input.index()]
    }
}
