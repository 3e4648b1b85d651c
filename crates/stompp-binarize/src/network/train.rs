//! The training pass.

use super::{
    Feature, Layers, Network, Norm,
    boundary::Boundary,
    plan::{Fused, LayerIndex, Step, is_read_once},
    reduce::Reducer,
    values::Values,
};
use crate::{BinaryBackend, Convolution, EvalMode, NormActivation, unit::Residual};
use dfdx::{
    shapes::HasShape,
    tensor::{Merge, PutTape, SplitTape, Tensor},
    tensor_ops::ReshapeTo,
};
use std::rc::Rc;
use stompp_graph::{Graph, NodeId, Op};
use stompp_nn::{OpResult, Recompute, SwitchTape, ops};

/// Feature maps with a tape that is on if their gradient is needed.
type Recorded<D> = Feature<D, SwitchTape<D>>;

impl<D: BinaryBackend> Network<D> {
    /// Training pass: computes logits (N, classes) from images (N, C, H, W), with the current freeze states.
    ///
    /// Batch norms normalize by the batch and update their running statistics. An op is recorded only if a gradient reaches it and the
    /// gradient is needed. The backward pass ends at committed activations that block the gradient.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    ///
    /// # Panics
    /// If the images do not have the graph's input shape.
    pub fn forward_train(&mut self, images: Feature<D>) -> OpResult<(usize, usize), D, SwitchTape<D>> {
        self.check_images(&images);
        let mut values = Values::new(&self.graph);
        values.put(self.graph.input(), images);
        let mut pass = Pass {
            boundary: self.boundary(),
            reducer: Reducer::new(&self.reduction, &self.buckets),
            graph: &self.graph,
            bindings: &self.bindings,
            layers: &self.layers,
            norms: &mut self.norms,
            values,
            recompute: vec![None; self.graph.nodes().len()],
            tape: SwitchTape::off(),
        };
        for step in &*self.steps {
            match step {
                Step::Node(id) => pass.node(*id)?,
                Step::Fused(fused) => pass.fused(fused)?,
            }
        }
        let logits = flatten(pass.values.read(self.graph.output()))?;
        Ok(logits.put_tape(pass.tape))
    }

    /// Which gradients the next training pass records.
    fn boundary(&self) -> Boundary {
        let blocks = |id| match self.layer_index(id) {
            LayerIndex::Activation(index) => self.layers.activations[index].blocks_gradient(),
            _ => false,
        };
        let learns = |id| match self.layer_index(id) {
            LayerIndex::None | LayerIndex::Activation(_) => false,
            LayerIndex::BinaryConv(index) => !self.layers.binary_convs[index].quantizer.blocks_gradient(),
            LayerIndex::Conv(_) | LayerIndex::Norm(_) | LayerIndex::Linear(_) => true,
        };
        Boundary::new(&self.graph, blocks, learns)
    }
}

/// A running training pass.
struct Pass<'a, D: BinaryBackend> {
    graph: &'a Graph,
    bindings: &'a [LayerIndex],
    layers: &'a Layers<D>,
    norms: &'a mut [Norm<D>],
    boundary: Boundary,
    reducer: Reducer<'a>,
    values: Values<D>,
    /// How the backward pass of the only reader of a node can compute the node's value again.
    recompute: Vec<Option<Rc<dyn Recompute<D>>>>,
    /// Everything recorded so far. Values are kept off the tape.
    tape: SwitchTape<D>,
}

impl<'a, D: BinaryBackend> Pass<'a, D> {
    /// Computes one node by itself.
    fn node(&mut self, id: NodeId) -> Result<(), D::Err> {
        let node = self.graph.node(id);
        let Some(&first) = node.inputs.first() else {
            return Ok(()); // The images are there.
        };
        let x = self.input(id, first);
        let y = match (self.binding(id), node.op) {
            (LayerIndex::Conv(_) | LayerIndex::BinaryConv(_), _) => self.convolution(id, x)?.forward()?,
            (LayerIndex::Norm(index), _) => {
                let parameters = self.parameters(id);
                let (y, recompute) = self.norms[index].forward_recomputable(x, parameters)?;
                self.offer(id, recompute);
                y
            }
            (LayerIndex::Activation(index), _) => self.layers.activations[index].forward(x)?,
            (LayerIndex::Linear(index), _) => {
                let y = self.layers.linears[index].forward_with(flatten(x)?, self.parameters(id))?;
                unflatten(y)?
            }
            (LayerIndex::None, Op::Add) => {
                let other = self.input(id, node.inputs[1]);
                ops::add(x, other)?
            }
            (LayerIndex::None, Op::MaxPool(pool)) => ops::max_pool(x, pool.kernel, pool.stride, pool.padding)?,
            (LayerIndex::None, Op::AveragePool(pool)) => ops::average_pool(x, pool.kernel, pool.stride)?,
            (LayerIndex::None, Op::GlobalAveragePool) => unflatten(ops::global_average_pool(x)?)?,
            (LayerIndex::None, op) => unreachable!("{} has a layer", op.name()),
        };
        self.store(id, y);
        Ok(())
    }

    /// Computes a convolution and everything up to the activation after it.
    fn fused(&mut self, fused: &Fused) -> Result<(), D::Err> {
        let input = self.graph.node(fused.conv).inputs[0];
        let x = self.input(fused.conv, input);
        let mut convolution = self.convolution(fused.conv, x)?;
        convolution.input = self.recompute[input.index()].take();
        let residual = fused.residual.map(|(sum, other)| Residual {
            value: self.input(sum, other),
            recompute: self.recompute[other.index()].take(),
        });
        let parameters = self.parameters(fused.norm);
        let (LayerIndex::Norm(norm), LayerIndex::Activation(activation)) =
            (self.binding(fused.norm), self.binding(fused.activation))
        else {
            unreachable!("batch norms and activations have layers");
        };
        let then = NormActivation {
            norm: &mut self.norms[norm],
            activation: &self.layers.activations[activation],
        };
        let (y, recompute) = then.forward_recomputable(convolution, residual, parameters)?;
        self.offer(fused.activation, recompute);
        self.store(fused.activation, y);
        Ok(())
    }

    /// Lets the reader of `id` compute its value again in the backward pass. With several readers, each would have to.
    fn offer(&mut self, id: NodeId, recompute: Option<Rc<dyn Recompute<D>>>) {
        self.recompute[id.index()] = recompute.filter(|_| is_read_once(self.graph, id));
    }

    /// Prepares the convolution `id` of `x`.
    #[allow(clippy::type_complexity)] // Every size is known at run time.
    fn convolution(
        &self,
        id: NodeId,
        x: Recorded<D>,
    ) -> Result<Convolution<'a, usize, usize, usize, usize, usize, usize, D, SwitchTape<D>>, D::Err> {
        let parameters = self.parameters(id);
        let layers = self.layers;
        match self.binding(id) {
            LayerIndex::Conv(index) => {
                let conv = &layers.convs[index];
                let weight = conv.weight.clone().put_tape(parameters);
                Ok(Convolution::new(x, weight, conv.stride, conv.padding))
            }
            LayerIndex::BinaryConv(index) => {
                let input = self.graph.node(id).inputs[0];
                let binary = layers.has_binary_output(self.graph, self.bindings, input, EvalMode::Current);
                layers.binary_convs[index].forward_with(x, binary, parameters)
            }
            _ => unreachable!("`{}` is no convolution", self.graph.node(id).name),
        }
    }

    fn binding(&self, id: NodeId) -> LayerIndex {
        self.bindings[id.index()]
    }

    /// The value of `input` for `reader`, on a tape that is on if its gradient is needed.
    fn input(&mut self, reader: NodeId, input: NodeId) -> Recorded<D> {
        let tape = SwitchTape::new(self.boundary.needs_input_gradient(reader, input));
        // Also here: the tape of a committed weight does not have it.
        let tape = tape.with_reduction(self.reducer.reduction().clone());
        self.values.read(input).put_tape(tape)
    }

    /// The tape for the parameters of `id`.
    fn parameters(&self, id: NodeId) -> SwitchTape<D> {
        let tape = SwitchTape::new(self.boundary.needs_parameter_gradient(id));
        self.reducer.prepare(
            tape,
            &self.graph.node(id).name,
            (self.layers, self.norms),
            self.binding(id),
        )
    }

    /// Stores the value of `id`, and merges its tape into that of the pass.
    fn store(&mut self, id: NodeId, value: Recorded<D>) {
        let (value, recorded) = value.split_tape();
        self.tape = std::mem::take(&mut self.tape).merge(recorded);
        self.values.put(id, value);
    }
}

/// (N, C, H, W) as (N, C * H * W). It stays the same tensor, with the same gradient.
pub(super) fn flatten<D: BinaryBackend, T: stompp_nn::Recording<D>>(
    x: Feature<D, T>,
) -> OpResult<(usize, usize), D, T> {
    let (batch, channels, height, width) = *x.shape();
    x.try_reshape_like(&(batch, channels * height * width))
}

/// (N, C) as (N, C, 1, 1). It stays the same tensor, with the same gradient.
pub(super) fn unflatten<D: BinaryBackend, T: stompp_nn::Recording<D>>(
    x: Tensor<(usize, usize), f32, D, T>,
) -> Result<Feature<D, T>, D::Err> {
    let (batch, channels) = *x.shape();
    x.try_reshape_like(&(batch, channels, 1, 1))
}
