//! Converts a plan and a file to a program: lays out the weights for the level and assigns a buffer to each value.

use super::{MainOp, Program, Step, Value, ValueLocation};
use crate::{
    kernels::{
        binary::BinaryConv,
        dense::{Dense, Weight},
        tail::{Activation, Tail, bytes_of_pixel},
        window::Windows,
    },
    simd::SimdLevel,
    tensors::{StepTensors, fits_16_bits},
};
use alloc::{vec, vec::Vec};
use core::ops::Range;
use stompp_graph::{ActivationRule, DeployPlan, DeployStep, Graph, NodeId, Op};

/// The sizes of all scratch memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScratchSizes {
    /// Bytes of each buffer of bits.
    pub(crate) bits: Vec<usize>,
    /// Entries of each buffer of floats.
    pub(crate) floats: Vec<usize>,
    pub(crate) staged: usize,
    pub(crate) table: usize,
    pub(crate) padded: usize,
    /// Entries of the network's output.
    pub(crate) logits: usize,
    // For each task:
    pub(crate) words: usize,
    pub(crate) offsets: usize,
    pub(crate) bytes: usize,
    pub(crate) patches: usize,
    pub(crate) sums: usize,
    pub(crate) block: usize,
}

impl ScratchSizes {
    /// Returns the total number of bytes for `tasks` tasks.
    pub(crate) fn total(&self, tasks: usize) -> usize {
        let add = |sum: usize, (len, size): (usize, usize)| sum.saturating_add(len.saturating_mul(size));
        let values = self
            .bits
            .iter()
            .map(|len| (*len, 1))
            .chain(self.floats.iter().map(|len| (*len, 4)));
        let shared = values
            .chain([(self.staged, 1), (self.table, 4), (self.padded, 4), (self.logits, 4)])
            .fold(0, add);
        let floats = [self.patches, self.sums, self.block].map(|len| (len, 4));
        let task = floats
            .into_iter()
            .chain([(self.words, 8), (self.offsets, 2), (self.bytes, 1)])
            .fold(0, add);
        shared.saturating_add(task.saturating_mul(tasks))
    }

    fn include(&mut self, main: &MainOp) {
        let grow = |size: &mut usize, len: usize| *size = (*size).max(len);
        match main {
            MainOp::Binary(conv) => {
                grow(&mut self.staged, conv.staged_len());
                grow(&mut self.table, conv.table_len());
                let [words, offsets, bytes] = conv.task_len();
                grow(&mut self.words, words);
                grow(&mut self.offsets, offsets);
                grow(&mut self.bytes, bytes);
            }
            MainOp::Dense(dense) => {
                grow(&mut self.padded, dense.staged_len());
                let [patches, sums, block] = dense.task_len();
                grow(&mut self.patches, patches);
                grow(&mut self.sums, sums);
                grow(&mut self.block, block);
            }
            MainOp::MaxPool(_) | MainOp::AveragePool(_) | MainOp::Copy => {}
        }
    }
}

/// Prepares `plan` for a level. `tensors` has the positions of each step's tensors in `file`.
pub(crate) fn prepare(
    level: SimdLevel,
    graph: &Graph,
    activations: ActivationRule,
    plan: &DeployPlan,
    tensors: &[StepTensors<Range<usize>>],
    file: &[u8],
) -> Program {
    let mut buffers = Buffers::new(graph, activations, plan);
    let mut sizes = ScratchSizes::default();
    let mut steps = Vec::with_capacity(plan.steps().len());
    for (number, (step, tensors)) in plan.steps().iter().zip(tensors).enumerate() {
        let input = buffers.value(graph, step.input);
        let residual = step.sum.map(|(_, other)| buffers.value(graph, other));
        let main = main(level, graph, plan, step, input.place, tensors, file);
        sizes.include(&main);
        let mut places = [buffers.place(graph, plan, step.output), None];
        if let Some(signs) = step.signs {
            places[1] = buffers.place(graph, plan, signs);
        }
        let (mut bits, mut floats) = (None, None);
        for place in places.into_iter().flatten() {
            match place {
                ValueLocation::Bits(slot) => bits = Some(slot),
                ValueLocation::Floats(slot) => floats = Some(slot),
                ValueLocation::Image => {}
            }
        }
        buffers.release(number);
        let shape = graph.node(step.output).shape;
        steps.push(Step {
            work: work(&main, shape),
            main,
            input,
            residual,
            tail: tail(graph, activations, step, tensors, file),
            shape,
            floats,
            bits,
        });
    }
    let output = buffers.value(graph, graph.output());
    sizes.bits = buffers.bits.sizes;
    sizes.floats = buffers.floats.sizes;
    sizes.logits = output.shape.iter().product();
    Program {
        level,
        steps,
        output,
        sizes,
    }
}

fn main(
    level: SimdLevel,
    graph: &Graph,
    plan: &DeployPlan,
    step: &DeployStep,
    place: ValueLocation,
    tensors: &StepTensors<Range<usize>>,
    file: &[u8],
) -> MainOp {
    let Some(id) = step.main else {
        return MainOp::Copy;
    };
    let node = graph.node(id);
    let input @ [_, height, width] = graph.first_input_shape(id);
    let [outputs, out_height, out_width] = node.shape;
    let windows = |kernel, stride, padding| Windows {
        input,
        kernel,
        stride,
        padding,
        output: [out_height, out_width],
    };
    let at = tensors.weight.clone().unwrap_or(0..0);
    let whole = windows([height, width], 1, 0);
    let dense = |windows, is_bits, bias| {
        let at = at.clone();
        let weight = Weight { at, is_bits, bias };
        MainOp::Dense(Dense::new(level, windows, place, outputs, file, weight))
    };
    match node.op {
        Op::BinaryConv(c) => {
            let windows = windows([c.kernel; 2], c.stride, c.padding);
            if plan.is_bits(step.input) {
                let thresholds = tensors
                    .thresholds
                    .clone()
                    .map(|range| integers(&file[range], windows.entries()));
                return MainOp::Binary(BinaryConv::new(level, windows, outputs, file, at, thresholds));
            }
            dense(windows, true, None)
        }
        Op::Conv(c) => dense(windows([c.kernel; 2], c.stride, c.padding), false, None),
        Op::Linear { .. } => {
            let bias = tensors.bias.clone().map(|range| floats(&file[range]));
            dense(whole, false, bias)
        }
        Op::MaxPool(p) => MainOp::MaxPool(windows([p.kernel; 2], p.stride, p.padding)),
        Op::AveragePool(p) => MainOp::AveragePool(windows([p.kernel; 2], p.stride, p.padding)),
        Op::GlobalAveragePool => MainOp::AveragePool(whole),
        Op::Input | Op::BatchNorm | Op::Activation | Op::Relu | Op::Clip | Op::Add => MainOp::Copy,
    }
}

fn tail(
    graph: &Graph,
    activations: ActivationRule,
    step: &DeployStep,
    tensors: &StepTensors<Range<usize>>,
    file: &[u8],
) -> Tail {
    let affine = tensors.affine.clone().map(|range| {
        let parts = &file[range];
        let len = parts.len() / 3;
        [0, 1, 2].map(|part| {
            let values = floats(&parts[part * len..][..len]);
            let eights = values.chunks(8).map(|values| {
                let mut eight = [0.0; 8];
                eight[..values.len()].copy_from_slice(values);
                eight
            });
            eights.collect()
        })
    });
    let activation = match step.activation.map(|id| graph.node(id).op) {
        Some(Op::Relu) => Activation::Relu,
        Some(Op::Clip) => Activation::Clip,
        Some(Op::Activation) => match activations {
            // `RowWriter` takes the signs when it writes bits.
            ActivationRule::Quantized => Activation::None,
            ActivationRule::Relu => Activation::Relu,
            ActivationRule::Clip => Activation::Clip,
        },
        _ => Activation::None,
    };
    Tail { affine, activation }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

fn integers(bytes: &[u8], entries: usize) -> Vec<i32> {
    if fits_16_bits(entries) {
        return bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i16::from_le_bytes(*bytes).into())
            .collect();
    }
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| i32::from_le_bytes(*bytes))
        .collect()
}

fn work(main: &MainOp, shape: [usize; 3]) -> usize {
    let outputs = shape.iter().product::<usize>();
    match main {
        // One operation computes about 16 products of bits.
        MainOp::Binary(conv) => (outputs / 16).saturating_mul(conv.windows.entries()),
        MainOp::Dense(dense) => outputs.saturating_mul(dense.windows.entries()),
        MainOp::MaxPool(w) | MainOp::AveragePool(w) => outputs.saturating_mul(w.kernel[0] * w.kernel[1]),
        MainOp::Copy => outputs,
    }
}

/// The buffers of one type. A later value reuses the buffer of a value that is no longer needed.
#[derive(Default)]
struct Pool {
    sizes: Vec<usize>,
    free: Vec<usize>,
}

impl Pool {
    fn acquire(&mut self, len: usize) -> usize {
        // Use the smallest free buffer that fits. If none fits, enlarge the largest one.
        let sizes = &self.sizes;
        let fits = self
            .free
            .iter()
            .copied()
            .filter(|slot| sizes[*slot] >= len)
            .min_by_key(|slot| sizes[*slot]);
        let best = fits.or_else(|| self.free.iter().copied().max_by_key(|slot| sizes[*slot]));
        match best {
            Some(slot) => {
                self.free.retain(|other| *other != slot);
                self.sizes[slot] = self.sizes[slot].max(len);
                slot
            }
            None => {
                self.sizes.push(len);
                self.sizes.len() - 1
            }
        }
    }
}

/// For each node, whether every reader uses only the signs of its values. The sign of a maximum is the maximum of the signs, so this
/// is so for an activation that follows a maximum pool: the pool then works on bits.
fn signs_only(graph: &Graph, activations: ActivationRule, plan: &DeployPlan) -> Vec<bool> {
    let mut signs_only = vec![false; graph.nodes().len()];
    for (id, _) in graph.iter().rev() {
        // The output has none.
        let readers = graph.consumers(id);
        signs_only[id.index()] = activations == ActivationRule::Quantized
            && !readers.is_empty()
            && readers.iter().all(|reader| match graph.node(*reader).op {
                Op::Activation => true,
                Op::MaxPool(_) => signs_only[reader.index()],
                _ => false,
            });
    }
    // A step has one buffer of bits, which these steps need for their activation.
    for step in plan.steps().iter().filter(|step| step.signs.is_some()) {
        signs_only[step.output.index()] = false;
    }
    signs_only
}

/// Assigns buffers to values. A value keeps its buffer from the step that computes it to the last step that reads it.
struct Buffers {
    bits: Pool,
    floats: Pool,
    /// For each node, whether only the signs of its values are stored.
    signs_only: Vec<bool>,
    places: Vec<ValueLocation>,
    /// For each step: the values whose buffers are free after it.
    ends: Vec<Vec<NodeId>>,
}

impl Buffers {
    fn new(graph: &Graph, activations: ActivationRule, plan: &DeployPlan) -> Self {
        let mut last_read = vec![None; graph.nodes().len()];
        for (number, step) in plan.steps().iter().enumerate() {
            // An unread value ends with its own step.
            let other = step.sum.map(|(_, other)| other);
            let touched = [Some(step.output), step.signs, Some(step.input), other];
            for id in touched.into_iter().flatten() {
                last_read[id.index()] = Some(number);
            }
        }
        last_read[graph.output().index()] = None;
        let mut ends = vec![Vec::new(); plan.steps().len()];
        for (id, _) in graph.iter().skip(1) {
            if let Some(number) = last_read[id.index()] {
                ends[number].push(id);
            }
        }
        Self {
            bits: Pool::default(),
            floats: Pool::default(),
            signs_only: signs_only(graph, activations, plan),
            places: vec![ValueLocation::Image; graph.nodes().len()],
            ends,
        }
    }

    fn value(&self, graph: &Graph, id: NodeId) -> Value {
        Value {
            place: self.places[id.index()],
            shape: graph.node(id).shape,
        }
    }

    /// Assigns a buffer to the value of `id`.
    fn place(&mut self, graph: &Graph, plan: &DeployPlan, id: NodeId) -> Option<ValueLocation> {
        let [channels, height, width] = graph.node(id).shape;
        let place = if plan.is_bits(id) || self.signs_only[id.index()] {
            ValueLocation::Bits(self.bits.acquire(bytes_of_pixel(channels) * height * width))
        } else {
            ValueLocation::Floats(self.floats.acquire(channels * height * width))
        };
        self.places[id.index()] = place;
        Some(place)
    }

    /// Frees the buffers that step `number` was the last to read.
    fn release(&mut self, number: usize) {
        for id in &self.ends[number] {
            match self.places[id.index()] {
                ValueLocation::Bits(slot) => self.bits.free.push(slot),
                ValueLocation::Floats(slot) => self.floats.free.push(slot),
                ValueLocation::Image => {}
            }
        }
    }
}
