//! The values of nodes. Each is kept until its last reader has read it.

use super::Feature;
use crate::BinaryBackend;
use stompp_graph::{Graph, NodeId};

/// The values that nodes have computed and that will still be read, off the tape.
pub(super) struct Values<D: BinaryBackend> {
    values: Vec<Option<Feature<D>>>,
    /// Number of reads left of each value.
    reads: Vec<usize>,
}

impl<D: BinaryBackend> Values<D> {
    /// Starts without values. Each will be read once by every consumer, the output once more.
    pub(super) fn new(graph: &Graph) -> Self {
        let mut reads: Vec<_> = graph.iter().map(|(id, _)| graph.consumers(id).len()).collect();
        reads[graph.output().index()] += 1;
        Self {
            values: vec![None; reads.len()],
            reads,
        }
    }

    /// Stores the value of `id`.
    pub(super) fn put(&mut self, id: NodeId, value: Feature<D>) {
        self.values[id.index()] = Some(value);
    }

    /// Returns the value of `id`. The last read moves it out, so that its memory is free as soon as the op has run.
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
