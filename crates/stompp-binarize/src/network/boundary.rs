//! Where the backward pass ends: which nodes a gradient reaches, found anew at each step from the freeze states.

use stompp_graph::{Graph, NodeId};

/// Which gradients a training pass records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boundary {
    arrives: Vec<bool>,
    useful: Vec<bool>,
}

impl Boundary {
    /// The boundary of `graph`, where `blocks` says of a node that no gradient passes it at all and `learns` that it has parameters.
    ///
    /// A gradient arrives at a node if it arrives at one of the nodes that read it and passes that one. It is useful if a parameter
    /// lies where it goes: in the node or upstream, with nothing that blocks in between.
    pub(super) fn new(graph: &Graph, blocks: impl Fn(NodeId) -> bool, learns: impl Fn(NodeId) -> bool) -> Self {
        let count = graph.nodes().len();
        let (mut arrives, mut useful) = (vec![false; count], vec![false; count]);
        arrives[graph.output().index()] = true;
        for (id, node) in graph.iter().rev() {
            if arrives[id.index()] && !blocks(id) {
                node.inputs.iter().for_each(|input| arrives[input.index()] = true);
            }
        }
        for (id, node) in graph.iter() {
            let upstream = node.inputs.iter().any(|input| useful[input.index()]);
            useful[id.index()] = learns(id) || (upstream && !blocks(id));
        }
        Self { arrives, useful }
    }

    /// Whether the parameters of `id` get a gradient.
    pub(super) fn reaches(&self, id: NodeId) -> bool {
        self.arrives[id.index()]
    }

    /// Whether `reader` is to give `input`, one of its inputs, a gradient.
    pub(super) fn records(&self, reader: NodeId, input: NodeId) -> bool {
        self.arrives[reader.index()] && self.useful[input.index()]
    }
}
