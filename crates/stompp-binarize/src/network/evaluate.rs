//! Evaluation passes.

use super::{
    Feature, Network,
    plan::LayerIndex,
    train::{flatten, unflatten},
    values::Values,
};
use crate::{BinaryBackend, EvalMode};
use dfdx::nn::Module;
use stompp_graph::{NodeId, Op};
use stompp_nn::{OpResult, ops};

impl<D: BinaryBackend> Network<D> {
    /// Evaluation pass: computes logits (N, classes) from images (N, C, H, W) and running statistics. Changes nothing.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    ///
    /// # Panics
    /// If the images do not have the graph's input shape.
    pub fn evaluate(&self, images: Feature<D>, mode: EvalMode) -> OpResult<(usize, usize), D> {
        self.evaluate_with(images, mode, &mut |_, _| ())
    }

    /// As [`Network::evaluate`]. Also calls `seen` for every activation, with its node and its input (N, C, H, W).
    ///
    /// # Errors
    /// As [`Network::evaluate`].
    ///
    /// # Panics
    /// As [`Network::evaluate`].
    pub fn evaluate_with(
        &self,
        images: Feature<D>,
        mode: EvalMode,
        seen: &mut dyn FnMut(NodeId, &Feature<D>),
    ) -> OpResult<(usize, usize), D> {
        self.check_images(&images);
        let mut values = Values::new(&self.graph);
        values.put(self.graph.input(), images);
        for &id in self.graph.execution_order() {
            let node = self.graph.node(id);
            let Some(&first) = node.inputs.first() else {
                continue; // The images are there.
            };
            let x = values.read(first);
            let y = match (self.layer_index(id), node.op) {
                (LayerIndex::Conv(index), _) => self.layers.convs[index].try_forward(x)?,
                (LayerIndex::BinaryConv(index), _) => self.layers.binary_convs[index].evaluate(
                    x,
                    self.layers.has_binary_output(&self.graph, &self.bindings, first, mode),
                    mode,
                )?,
                (LayerIndex::Norm(index), _) => self.norms[index].try_forward(x)?,
                (LayerIndex::Activation(index), _) => {
                    seen(id, &x);
                    self.layers.activations[index].evaluate(x, mode)?
                }
                (LayerIndex::Linear(index), _) => unflatten(self.layers.linears[index].try_forward(flatten(x)?)?)?,
                (LayerIndex::None, Op::Add) => ops::add(x, values.read(node.inputs[1]))?,
                (LayerIndex::None, Op::MaxPool(pool)) => ops::max_pool(x, pool.kernel, pool.stride, pool.padding)?,
                (LayerIndex::None, Op::AveragePool(pool)) => ops::average_pool(x, pool.kernel, pool.stride)?,
                (LayerIndex::None, Op::GlobalAveragePool) => unflatten(ops::global_average_pool(x)?)?,
                (LayerIndex::None, op) => unreachable!("{} has a layer", op.name()),
            };
            values.put(id, y);
        }
        flatten(values.read(self.graph.output()))
    }
}
