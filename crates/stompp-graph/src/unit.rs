//! Units: the nodes that freeze together.

use crate::{Graph, NodeId, Op};
use alloc::{collections::BTreeSet, vec::Vec};

/// A binary convolution and the activation that feeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    /// The convolution.
    pub conv: NodeId,
    /// The activation that freezes with it. `None` if no [`Op::Activation`] feeds the convolution, or if an earlier unit has it:
    /// an activation that feeds several convolutions freezes with the first of them (*ours*).
    pub activation: Option<NodeId>,
}

pub(crate) fn units(graph: &Graph) -> Vec<Unit> {
    let mut taken = BTreeSet::new();
    graph
        .iter()
        .filter(|(_, node)| matches!(node.op, Op::BinaryConv(_)))
        .map(|(conv, node)| Unit {
            conv,
            activation: graph
                .binary_source(node.inputs[0])
                .filter(|source| taken.insert(*source)),
        })
        .collect()
}

pub(crate) fn head_activations(graph: &Graph) -> Vec<NodeId> {
    let in_units: BTreeSet<_> = units(graph).iter().filter_map(|unit| unit.activation).collect();
    graph
        .iter()
        .filter(|(id, node)| node.op == Op::Activation && !in_units.contains(id))
        .map(|(id, _)| id)
        .collect()
}
