//! Converts a graph and trained tensors to a packed file.

use crate::{
    container::{self, Dtype, PackedTensor},
    error::PackError,
    graph_text,
    info::NetworkInfo,
    tensors::{self, PackedTensorSpec},
    threshold::{Affine, threshold},
};
use alloc::{format, string::ToString, vec, vec::Vec};
use stompp_graph::{ActivationRule, DeployPlan, DeployStep, Graph, NodeId, Op};

/// Largest count that `f32` and the trainer's sums represent exactly.
const MOST_PRODUCTS: usize = 1 << 24;

/// Packs the committed network of `graph` and returns the bytes of the file. Binary weights are the signs of the latent weights; batch
/// norms use their running statistics.
///
/// `tensor` returns the values of a tensor by its name in [`Graph::tensors`], in row-major order. Equal arguments give equal bytes. The
/// size of the file without its header is [`stompp_graph::CostSummary::bytes`].
///
/// # Errors
/// Returns a [`PackError`] if a tensor is missing, has the wrong length or is not finite, if a batch norm cannot be evaluated, if the
/// class names in `info` are invalid, or if the network is too large.
pub fn pack<'a>(
    graph: &Graph,
    activations: ActivationRule,
    tensor: impl Fn(&str) -> Option<&'a [f32]>,
    info: &NetworkInfo,
) -> Result<Vec<u8>, PackError> {
    let plan = DeployPlan::new(graph, activations);
    let size: usize = plan.packed_bytes(graph).iter().sum();
    if size > i32::MAX as usize {
        return Err(PackError::TooLarge);
    }
    let source = Source { graph, tensor: &tensor };
    source.check()?;
    let mut packed = Vec::new();
    for step in plan.steps() {
        let specs = tensors::step_tensors(graph, &plan, step);
        let norm = step.norm.map(|norm| source.affine(norm)).transpose()?;
        let mut add = |spec: Option<PackedTensorSpec>, bytes: &dyn Fn(&PackedTensorSpec) -> Vec<u8>| {
            if let Some(spec) = spec {
                let bytes = bytes(&spec);
                let PackedTensorSpec { name, dtype, shape } = spec;
                packed.push(PackedTensor {
                    name,
                    dtype,
                    shape,
                    bytes,
                });
            }
        };
        if let Some(main) = step.main {
            source.check_products(main)?;
            let flipped = |channel: usize| {
                step.thresholds.is_some() && norm.as_ref().is_some_and(|norm| norm[channel].factor < 0.0)
            };
            add(specs.weight, &|spec| match spec.dtype {
                Dtype::U8 => bits(
                    source.get(main, "weight"),
                    &spec.shape,
                    graph.first_input_shape(main)[0],
                    flipped,
                ),
                _ => floats(source.get(main, "weight")),
            });
            add(specs.bias, &|_| floats(source.get(main, "bias")));
            if let Some(spec) = &specs.thresholds {
                let thresholds = thresholds(graph, step, norm.as_deref());
                let bytes = match spec.dtype {
                    Dtype::I16 => thresholds.iter().flat_map(|t| (*t as i16).to_le_bytes()).collect(),
                    _ => thresholds.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>(),
                };
                add(specs.thresholds, &|_| bytes.clone());
            }
        }
        let parts = |norm: &[Affine]| {
            let parts = [|a: &Affine| a.mean, |a: &Affine| a.factor, |a: &Affine| a.shift];
            parts.iter().flat_map(|part| norm.iter().map(part)).collect::<Vec<_>>()
        };
        add(specs.affine, &|_| floats(&parts(norm.as_deref().unwrap_or_default())));
    }
    let outputs = graph.output_shape().iter().product();
    let metadata = info.metadata(graph_text::write(graph), outputs, activations)?;
    Ok(container::write(&metadata, packed))
}

/// The trained tensors.
struct Source<'g, 'f, 'a> {
    graph: &'g Graph,
    tensor: &'f dyn Fn(&str) -> Option<&'a [f32]>,
}

impl<'a> Source<'_, '_, 'a> {
    /// Checks that every tensor exists, has the right length and is finite.
    fn check(&self) -> Result<(), PackError> {
        for spec in self.graph.tensors() {
            let values = (self.tensor)(&spec.name).ok_or_else(|| PackError::Missing(spec.name.clone()))?;
            let wanted = spec.shape.iter().product();
            if values.len() != wanted {
                return Err(PackError::Length {
                    name: spec.name,
                    given: values.len(),
                    wanted,
                });
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(PackError::NotFinite(spec.name));
            }
        }
        Ok(())
    }

    /// Returns a tensor of a node. Call [`Source::check`] first.
    fn get(&self, id: NodeId, suffix: &str) -> &'a [f32] {
        (self.tensor)(&format!("{}.{suffix}", self.graph.node(id).name)).unwrap_or_default()
    }

    fn check_products(&self, main: NodeId) -> Result<(), PackError> {
        let node = self.graph.node(main);
        if matches!(node.op, Op::BinaryConv(_)) && self.graph.patch_entries(main) > MOST_PRODUCTS {
            return Err(PackError::TooManyProducts(node.name.to_string()));
        }
        Ok(())
    }

    /// Returns the batch norm of each channel.
    fn affine(&self, norm: NodeId) -> Result<Vec<Affine>, PackError> {
        let [mean, variance, scale, shift] =
            ["running_mean", "running_var", "weight", "bias"].map(|suffix| self.get(norm, suffix));
        (0..mean.len())
            .map(|channel| {
                let affine = Affine::new(mean[channel], variance[channel], scale[channel], shift[channel]);
                if variance[channel] < 0.0 || !affine.is_defined(MOST_PRODUCTS as f32) {
                    return Err(PackError::BatchNorm {
                        node: self.graph.node(norm).name.clone(),
                        channel,
                        mean: affine.mean,
                        factor: affine.factor,
                        shift: affine.shift,
                    });
                }
                Ok(affine)
            })
            .collect()
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Converts the signs of an (O, C, K, K) weight to bits of `shape` (O, K, K, bytes). The signs of `flipped` output channels are negated.
fn bits(weight: &[f32], shape: &[usize], channels: usize, flipped: impl Fn(usize) -> bool) -> Vec<u8> {
    let (area, bytes) = (shape[1] * shape[2], shape[3]);
    let mut bits = vec![0; shape.iter().product()];
    for (o, (kernel, bits)) in weight
        .chunks(channels * area)
        .zip(bits.chunks_mut(area * bytes))
        .enumerate()
    {
        let flipped = flipped(o);
        for (at, value) in kernel.iter().enumerate() {
            let (channel, tap) = (at / area, at % area);
            if (*value >= 0.0) != flipped {
                bits[tap * bytes + channel / 8] |= 1 << (channel % 8);
            }
        }
    }
    bits
}

/// Computes the thresholds of every channel. With a shortcut of signs: first the thresholds for -1, then those for +1.
fn thresholds(graph: &Graph, step: &DeployStep, norm: Option<&[Affine]>) -> Vec<i32> {
    let entries = step.main.map_or(0, |main| graph.patch_entries(main)) as i32;
    let channels = graph.node(step.output).shape[0];
    let residuals: &[Option<f32>] = if step.sum.is_some() {
        &[Some(-1.0), Some(1.0)]
    } else {
        &[None]
    };
    let of = |residual: Option<f32>, channel: usize| {
        let affine = norm.map(|norm| norm[channel]);
        let sign = if affine.is_some_and(|affine| affine.factor < 0.0) {
            -1
        } else {
            1
        };
        threshold(entries, |sum| {
            let x = (sign * sum) as f32;
            let value = affine.map_or(x, |affine| affine.apply(x));
            residual.map_or(value, |residual| value + residual)
        })
    };
    let all = residuals
        .iter()
        .flat_map(|residual| (0..channels).map(move |channel| of(*residual, channel)));
    all.collect()
}
