//! Diagnostics of each unit while the network freezes: frozen fractions, flips, gradient norms, histograms.
//!
//! **Diagnostics do not change a run**: with and without them, a run ends in the same bits. Checkpoints contain the sums over steps and
//! the signs of the last report, so an interrupted run reports the same numbers.

use crate::{
    TrainError, device_data::to_device, divergence::GradientNorms, error::device_error, freezing::FreezePolicy,
    images::SplitImages,
};
use dfdx::{shapes::Shape, tensor::Tensor};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, convert::Infallible};
use stompp_binarize::{BinaryBackend, EvalMode, Freezable, FreezeReport, FreezeState, Network};
use stompp_data::Normalization;
use stompp_graph::{Graph, Node, NodeId, Op, Unit};
use stompp_nn::{Backend, TensorKind, VisitTensors, Visitor};
use stompp_schedule::Phase;

/// Number of bins in a histogram of latent weights; each is 1/16 wide.
pub const HISTOGRAM_BINS: usize = 32;

/// Number of test images for the statistics of activations. Enough for thousands of entries, and cheaper than a step.
const PROBE: usize = 32;

/// The state of a network's units after a step, and their changes since the previous report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagnosticsReport {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// L2 norm of the gradient of the first layer's weight, mean over the steps since the last report.
    pub stem_gradient_norm: f64,
    /// L2 norm of the gradient of the last layer's weight, mean over the same steps.
    pub head_gradient_norm: f64,
    /// The units, from input to output.
    pub units: Vec<UnitDiagnostics>,
}

/// One unit: the weight of a binary convolution and the activation that feeds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitDiagnostics {
    /// Name of the convolution, such as `layer1.0.conv1`.
    pub name: String,
    /// Whether the weight is committed.
    pub committed: bool,
    /// The plan's target p(t) of the last step: 0 before the unit's window, 1 after it.
    pub target: f64,
    /// Share of frozen weight entries, in [0, 1].
    pub weight_frozen: f64,
    /// Share of frozen activation entries; absent where activations are continuous.
    pub activation_frozen: Option<f64>,
    /// Changes of weight mask entries since the last report, divided by the number of entries. Every change counts; a commit does not.
    pub weight_mask_flips: f64,
    /// Changes of activation mask entries, counted in the same way.
    pub activation_mask_flips: f64,
    /// Share of latent weights whose sign has changed since the last report; absent if the earlier signs are unknown.
    pub sign_flips: Option<f64>,
    /// Share of latent weights inside (-1, 1). The others are at a bound.
    pub weights_inside: f64,
    /// Share of the activation's inputs in [-1, 1], where an open entry passes its gradient. Measured on the first 32 test images
    /// with running statistics. Absent if none of them can be read.
    pub activations_inside: Option<f64>,
    /// L2 norm of the gradient of the latent weight, mean over the steps since the last report. Exactly 0 if it got no gradient.
    pub gradient_norm: f64,
    /// Number of latent weights in each of [`HISTOGRAM_BINS`] equal parts of [-1, 1].
    pub histogram: Vec<u64>,
}

/// Sums over the steps since the last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiagnosticsAccumulator {
    steps: u64,
    stem_norm: f64,
    head_norm: f64,
    units: Vec<UnitAccumulator>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitAccumulator {
    gradient_norm: f64,
    weight_flips: u64,
    activation_flips: u64,
}

impl DiagnosticsAccumulator {
    /// Adds a step with the given gradient norms and freezing report.
    pub(crate) fn add<D: BinaryBackend>(
        &mut self,
        network: &mut Network<D>,
        norms: &GradientNorms,
        freezing: Option<&FreezeReport>,
    ) {
        let [stem, head] = end_weights(network.graph());
        self.steps += 1;
        self.stem_norm += norms.get(&stem);
        self.head_norm += norms.get(&head);
        let units = network.units();
        self.units.resize_with(units.len(), UnitAccumulator::default);
        for (place, (unit, accumulator)) in units.iter().zip(&mut self.units).enumerate() {
            accumulator.gradient_norm += norms.get(&format!("{}.weight", unit.name));
            if let Some(report) = freezing {
                accumulator.weight_flips += report.units[place].weight_flips as u64;
                accumulator.activation_flips += report.units[place].activation_flips as u64;
            }
        }
    }
}

/// Names of the weights of the first and of the last layer.
fn end_weights(graph: &Graph) -> [String; 2] {
    let layer = |(_, node): &(NodeId, &Node)| matches!(node.op, Op::Conv(_) | Op::BinaryConv(_) | Op::Linear { .. });
    let name =
        |found: Option<(NodeId, &Node)>| found.map_or_else(String::new, |(_, node)| format!("{}.weight", node.name));
    [name(graph.iter().find(layer)), name(graph.iter().rfind(layer))]
}

/// The signs of every unit's latent weight, one bit per sign in 64-bit words. A set bit means negative.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WeightSigns(pub(crate) Vec<Vec<u64>>);

impl WeightSigns {
    /// The current signs of `network`.
    pub(crate) fn from_network<D: BinaryBackend>(network: &mut Network<D>) -> Self {
        Self(
            latent_weights(network)
                .iter()
                .map(|weights| negative(weights))
                .collect(),
        )
    }
}

fn negative(weights: &[f32]) -> Vec<u64> {
    let word = |weights: &[f32]| {
        let bits = weights.iter().enumerate();
        // As in the quantizer, the sign of -0 is +1.
        bits.fold(0, |word, (bit, weight)| word | u64::from(*weight < 0.0) << bit)
    };
    weights.chunks(64).map(word).collect()
}

/// The latent weight of each unit.
fn latent_weights<D: BinaryBackend>(network: &mut Network<D>) -> Vec<Vec<f32>> {
    let names = network
        .units()
        .iter()
        .map(|unit| format!("{}.weight", unit.name))
        .collect();
    let mut collect = CollectWeights {
        names,
        found: Vec::new(),
    };
    let Ok(()) = network.visit("", &mut collect);
    collect.found
}

struct CollectWeights {
    names: Vec<String>,
    found: Vec<Vec<f32>>,
}

impl<D: Backend> Visitor<D> for CollectWeights {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        _: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), Infallible> {
        if self.names.get(self.found.len()).is_some_and(|wanted| wanted == name) {
            self.found.push(tensor.as_vec());
        }
        Ok(())
    }
}

/// The inputs of a report, besides the network.
pub(crate) struct DiagnosticsProbe<'a, D: BinaryBackend> {
    pub(crate) device: &'a D,
    pub(crate) freezing: &'a FreezePolicy,
    pub(crate) test: &'a SplitImages,
    pub(crate) normalization: &'a Normalization,
    pub(crate) steps_per_epoch: u64,
}

impl<D: BinaryBackend> DiagnosticsProbe<'_, D> {
    /// Builds the report after `step` steps. Resets `accumulator` and sets `signs` to the current signs, for the next report.
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] if the test images cannot be read, and [`TrainError::Device`] if an allocation or a kernel launch
    /// fails.
    pub(crate) fn report(
        &self,
        step: u64,
        network: &mut Network<D>,
        accumulator: &mut DiagnosticsAccumulator,
        signs: &mut Option<WeightSigns>,
    ) -> Result<DiagnosticsReport, TrainError> {
        let accumulator = std::mem::take(accumulator);
        let inside = self.activations_inside(network)?;
        let weights = latent_weights(network);
        let now = WeightSigns(weights.iter().map(|weights| negative(weights)).collect());
        let before = signs.replace(now.clone());
        let mean = |sum: f64| sum / accumulator.steps.max(1) as f64;
        let units = network.units().into_iter().enumerate();
        let units = units
            .map(|(place, unit)| {
                let (weights, accumulator) = (&weights[place], &accumulator.units[place]);
                let share = |count: u64, of: usize| count as f64 / of as f64;
                let activation_entries = unit.activation.as_ref().map_or(1, |activation| activation.entries());
                let flips = |before: &WeightSigns| {
                    let pairs = before.0[place].iter().zip(&now.0[place]);
                    share(pairs.map(|(a, b)| u64::from((a ^ b).count_ones())).sum(), weights.len())
                };
                UnitDiagnostics {
                    name: unit.name.to_owned(),
                    committed: *unit.weight.state() == FreezeState::Committed,
                    target: self
                        .freezing
                        .target(step.saturating_sub(1), place, unit.activation.is_some()),
                    weight_frozen: unit.weight.frozen_fraction(),
                    activation_frozen: unit.activation.map(|activation| activation.frozen_fraction()),
                    weight_mask_flips: share(accumulator.weight_flips, weights.len()),
                    activation_mask_flips: share(accumulator.activation_flips, activation_entries),
                    sign_flips: before.as_ref().map(flips),
                    weights_inside: share(
                        weights.iter().filter(|weight| weight.abs() < 1.0).count() as u64,
                        weights.len(),
                    ),
                    activations_inside: inside.get(place).copied().flatten(),
                    gradient_norm: mean(accumulator.gradient_norm),
                    histogram: histogram(weights),
                }
            })
            .collect();
        Ok(DiagnosticsReport {
            step,
            epoch: step as f64 / self.steps_per_epoch as f64,
            stem_gradient_norm: mean(accumulator.stem_norm),
            head_gradient_norm: mean(accumulator.head_norm),
            units,
        })
    }

    /// For each unit, the share of its activation's inputs in [-1, 1], on the first test images.
    fn activations_inside(&self, network: &Network<D>) -> Result<Vec<Option<f64>>, TrainError> {
        let mut shares = HashMap::new();
        if let Some(batch) = self.test.first_batch(self.normalization, PROBE)? {
            let images = to_device(self.device, &batch).map_err(device_error)?;
            let mut seen = |activation: NodeId, u: &Tensor<_, f32, D>| {
                let values = u.as_vec();
                let inside = values.iter().filter(|value| value.abs() <= 1.0).count();
                shares.insert(activation, inside as f64 / values.len().max(1) as f64);
            };
            network
                .evaluate_with(images, EvalMode::Current, &mut seen)
                .map_err(device_error)?;
        }
        // As after an evaluation: the batch differs in size from training batches.
        self.device.try_empty_cache().map_err(device_error)?;
        let graph = network.graph();
        let share = |unit: Unit| {
            let source = graph.binary_source(graph.node(unit.conv).inputs[0]);
            source.and_then(|activation| shares.get(&activation).copied())
        };
        Ok(graph.units().into_iter().map(share).collect())
    }
}

fn histogram(weights: &[f32]) -> Vec<u64> {
    let mut bins = vec![0; HISTOGRAM_BINS];
    for weight in weights {
        let place = ((weight + 1.0) / 2.0 * HISTOGRAM_BINS as f32) as usize;
        bins[place.min(HISTOGRAM_BINS - 1)] += 1;
    }
    bins
}

impl FreezePolicy {
    /// The target fraction of a unit's weight during `step`: 0 before its window, 1 after it.
    fn target(&self, step: u64, unit: usize, activations_freeze: bool) -> f64 {
        match self {
            Self::Never => 0.0,
            Self::AtOnce => 1.0,
            Self::Progressive(freezer) => match freezer.weight_phase(step, unit, activations_freeze) {
                Phase::Open => 0.0,
                Phase::Freezing { p } => p,
                Phase::Committed => 1.0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_in_a_bin() {
        let bins = histogram(&[-1.0, -0.97, 0.0, -0.0, 0.96875, 1.0]);
        assert_eq!((bins[0], bins[15], bins[16], bins[31]), (2, 0, 2, 2));
        assert_eq!(bins.iter().sum::<u64>(), 6);
    }

    #[test]
    fn signs_are_the_quantizer_s() {
        let mut weights = vec![0.5; 70];
        (weights[0], weights[1], weights[2], weights[65]) = (-0.1, -0.0, 0.0, -1.0);
        assert_eq!(negative(&weights), [1, 2]);
    }
}
