//! The values of nodes between the node that gives them and the last one that reads them.

use super::Feature;
use crate::BinaryBackend;
use stompp_graph::{Graph, NodeId};

/// What nodes have given and somebody still has to read, off the tape.
pub(super) struct Values<D: BinaryBackend> {
    values: Vec<Option<Feature<D>>>,
    /// How many reads are left of each.
    reads: Vec<usize>,
}

impl<D: BinaryBackend> Values<D> {
    /// No values yet; each is read once by every consumer, the output once more.
    pub(super) fn new(graph: &Graph) -> Self {
        let mut reads: Vec<_> = graph.iter().map(|(id, _)| graph.consumers(id).len()).collect();
        reads[graph.output().index()] += 1;
        Self {
            values: vec![None; reads.len()],
            reads,
        }
    }

    /// Keeps what `id` gives.
    pub(super) fn put(&mut self, id: NodeId, value: Feature<D>) {
        self.values[id.index()] = Some(value);
    }

    /// The value of `id`. The last reader takes it, so that its memory is free as soon as the op has run.
    pub(super) fn read(&mut self, id: NodeId) -> Feature<D> {
        let index = id.index();
        self.reads[index] -= 1;
        let value = if self.reads[index] == 0 {
            self.values[index].take()
        } else {
            self.values[index].clone()
        };
        value.expect("a node is computed before it is read, and read as often as it has consumers")
    }
}
