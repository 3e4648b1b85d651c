//! The parts of a network that freeze: its units, in order.

use super::{Network, plan::LayerIndex};
use crate::{BinaryBackend, Freezable, MaskedQuantizer, Refresher, UnitMut};
use stompp_graph::NodeId;

impl<D: BinaryBackend> Freezable for Network<D> {
    fn units(&mut self) -> Vec<UnitMut<'_>> {
        let Self {
            graph,
            layers,
            bindings,
            ..
        } = self;
        let activation_of = |id: NodeId| match bindings[id.index()] {
            LayerIndex::Activation(index) => index,
            _ => unreachable!("the graph says that it is an activation"),
        };
        let mut activations: Vec<_> = layers.activations.iter_mut().map(|a| a.quantizer_mut()).collect();
        let mut weights = layers.binary_convs.iter_mut().map(|conv| &mut conv.quantizer);
        graph
            .units()
            .into_iter()
            .map(|unit| UnitMut {
                name: &graph.node(unit.conv).name,
                activation: unit.activation.and_then(|id| activations[activation_of(id)].take()),
                // Binary convolutions have their layers in the order of the nodes, as units have.
                weight: weights.next().expect("a unit for each binary convolution"),
            })
            .collect()
    }

    fn head_activations(&mut self) -> Vec<&mut MaskedQuantizer> {
        let heads = self.graph.head_activations();
        let indices: Vec<_> = heads.into_iter().map(|id| self.layer_index(id)).collect();
        let activations = self.layers.activations.iter_mut().enumerate();
        activations
            .filter(|(index, _)| indices.contains(&LayerIndex::Activation(*index)))
            .filter_map(|(_, activation)| activation.quantizer_mut())
            .collect()
    }

    fn refresher(&self) -> Box<dyn Refresher> {
        Box::new(self.device.clone())
    }
}
