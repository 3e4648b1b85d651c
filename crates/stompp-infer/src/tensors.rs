//! Lists the tensors of a packed file for the plan of its network. The writer and the reader both use this list.

use crate::container::Dtype;
use alloc::{format, string::String, vec, vec::Vec};
use stompp_graph::{DeployPlan, DeployStep, Graph, Op};

/// Name, type and shape of a tensor.
pub(crate) struct PackedTensorSpec {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

/// The tensors of one step.
pub(crate) struct StepTensors<T> {
    /// For a binary convolution: bits, (O, K, K, ceil(C / 8)). Bit 1 means +1; channel `c` is bit `c % 8` of byte `c / 8`. For another
    /// convolution: floats, (O, C, K, K). For a linear layer: floats, (O, I).
    pub(crate) weight: Option<T>,
    /// The bias of a linear layer, (O,).
    pub(crate) bias: Option<T>,
    /// The smallest sums that give +1, (O,). With a shortcut of signs, (2, O): first for a shortcut of -1, then for +1. The weights of
    /// channels with a negative batch-norm scale are stored negated, so that larger sums always mean +1.
    pub(crate) thresholds: Option<T>,
    /// Mean, factor and shift of a batch norm that stays in floats, (3, O): `fma(x - mean, factor, shift)`.
    pub(crate) affine: Option<T>,
}

impl<T> StepTensors<T> {
    /// Applies `f` to each tensor.
    pub(crate) fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<StepTensors<U>, E> {
        Ok(StepTensors {
            weight: self.weight.map(&mut f).transpose()?,
            bias: self.bias.map(&mut f).transpose()?,
            thresholds: self.thresholds.map(&mut f).transpose()?,
            affine: self.affine.map(&mut f).transpose()?,
        })
    }
}

/// Whether the thresholds of sums of `entries` products fit 16 bits. `entries + 1` must fit, too.
pub(crate) fn fits_16_bits(entries: usize) -> bool {
    entries < i16::MAX as usize
}

/// Returns the tensors that the file has for `step`.
pub(crate) fn step_tensors(graph: &Graph, plan: &DeployPlan, step: &DeployStep) -> StepTensors<PackedTensorSpec> {
    let mut tensors = StepTensors {
        weight: None,
        bias: None,
        thresholds: None,
        affine: None,
    };
    debug_assert!(plan.steps().contains(step));
    let [channels, ..] = graph.node(step.output).shape;
    let spec = |id, suffix: &str, dtype, shape| {
        let name = format!("{}.{suffix}", graph.node(id).name);
        Some(PackedTensorSpec { name, dtype, shape })
    };
    if let Some(main) = step.main {
        let inputs = graph.first_input_shape(main)[0];
        match graph.node(main).op {
            Op::BinaryConv(conv) => {
                let shape = vec![conv.outputs, conv.kernel, conv.kernel, inputs.div_ceil(8)];
                tensors.weight = spec(main, "weight", Dtype::U8, shape);
            }
            Op::Conv(conv) => {
                let shape = vec![conv.outputs, inputs, conv.kernel, conv.kernel];
                tensors.weight = spec(main, "weight", Dtype::F32, shape);
            }
            Op::Linear { outputs } => {
                tensors.weight = spec(main, "weight", Dtype::F32, vec![outputs, graph.patch_entries(main)]);
                tensors.bias = spec(main, "bias", Dtype::F32, vec![outputs]);
            }
            _ => {}
        }
        if let Some(count) = step.thresholds {
            let dtype = if fits_16_bits(graph.patch_entries(main)) {
                Dtype::I16
            } else {
                Dtype::I32
            };
            let shape = if count == 1 {
                vec![channels]
            } else {
                vec![count, channels]
            };
            tensors.thresholds = spec(main, "threshold", dtype, shape);
        }
    }
    if let Some(norm) = step.norm.filter(|_| step.thresholds.is_none()) {
        tensors.affine = spec(norm, "affine", Dtype::F32, vec![3, channels]);
    }
    tensors
}
