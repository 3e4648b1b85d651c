//! What a network costs: weights, multiply-accumulates and bytes, layer by layer.

use crate::{ActivationRule, Architecture, ConvSpec};
use std::fmt;

/// One layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// torchvision's name of the layer.
    pub name: String,
    /// Output of one image: channels, height, width (features of a linear layer: outputs, 1, 1).
    pub output: [usize; 3],
    /// Weights that are one bit each once committed.
    pub binary_weights: usize,
    /// Weights in full precision, running statistics included.
    pub float_weights: usize,
    /// Multiply-accumulates for one image that are XNOR and popcount once committed.
    pub binary_macs: usize,
    /// Multiply-accumulates for one image with a float on at least one side.
    pub float_macs: usize,
}

impl LayerSummary {
    /// Bytes of the committed layer: binary weights packed to bits and rounded up to bytes, the others 4 bytes each.
    pub fn bytes(&self) -> usize {
        self.binary_weights.div_ceil(8) + 4 * self.float_weights
    }
}

/// What a network costs once it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// From input to output; each convolution is followed by its batch norm.
    pub layers: Vec<LayerSummary>,
}

impl Summary {
    /// The summary of `architecture`; activations decide whether a binary convolution's products are binary.
    pub fn new(architecture: &Architecture, activations: ActivationRule) -> Self {
        let mut layers = Vec::new();
        let stem = architecture.stem_conv();
        layers.push(float_conv(&stem));
        layers.push(norm("bn1".to_owned(), &stem));
        for block in architecture.blocks() {
            for (index, conv) in block.convs.iter().enumerate() {
                layers.push(binary_conv(conv, activations));
                layers.push(norm(format!("{}.bn{}", block.name, index + 1), conv));
            }
            if let Some(shortcut) = &block.shortcut {
                layers.push(float_conv(shortcut));
                layers.push(norm(format!("{}.downsample.1", block.name), shortcut));
            }
        }
        let (features, classes) = (architecture.features(), architecture.classes());
        layers.push(LayerSummary {
            name: "fc".to_owned(),
            output: [classes, 1, 1],
            binary_weights: 0,
            float_weights: features * classes + classes,
            binary_macs: 0,
            float_macs: features * classes,
        });
        Self { layers }
    }

    /// All layers together; its output is the last layer's.
    pub fn total(&self) -> LayerSummary {
        let sum = |part: fn(&LayerSummary) -> usize| self.layers.iter().map(part).sum();
        LayerSummary {
            name: "total".to_owned(),
            output: self.layers.last().map_or([0; 3], |layer| layer.output),
            binary_weights: sum(|layer| layer.binary_weights),
            float_weights: sum(|layer| layer.float_weights),
            binary_macs: sum(|layer| layer.binary_macs),
            float_macs: sum(|layer| layer.float_macs),
        }
    }

    /// Bytes of the committed network.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(LayerSummary::bytes).sum()
    }
}

fn output(conv: &ConvSpec) -> [usize; 3] {
    [conv.outputs, conv.out_size, conv.out_size]
}

fn float_conv(conv: &ConvSpec) -> LayerSummary {
    LayerSummary {
        name: conv.name.clone(),
        output: output(conv),
        binary_weights: 0,
        float_weights: conv.weights(),
        binary_macs: 0,
        float_macs: conv.macs(),
    }
}

fn binary_conv(conv: &ConvSpec, activations: ActivationRule) -> LayerSummary {
    let binary = activations == ActivationRule::Quantized;
    LayerSummary {
        name: conv.name.clone(),
        output: output(conv),
        binary_weights: conv.weights(),
        float_weights: 0,
        binary_macs: if binary { conv.macs() } else { 0 },
        float_macs: if binary { 0 } else { conv.macs() },
    }
}

/// Scale, shift, running mean and variance; its own multiply-add is not counted, as usual.
fn norm(name: String, conv: &ConvSpec) -> LayerSummary {
    LayerSummary {
        name,
        output: output(conv),
        binary_weights: 0,
        float_weights: 4 * conv.outputs,
        binary_macs: 0,
        float_macs: 0,
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22} {:>14} {:>15} {:>14} {:>13} {:>12} {:>11}",
            "layer", "output", "binary weights", "float weights", "binary MACs", "float MACs", "bytes"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, layer: &LayerSummary, bytes: usize| {
            let [channels, height, width] = layer.output;
            writeln!(
                f,
                "{:<22} {:>14} {:>15} {:>14} {:>13} {:>12} {:>11}",
                layer.name,
                format!("{channels}x{height}x{width}"),
                layer.binary_weights,
                layer.float_weights,
                layer.binary_macs,
                layer.float_macs,
                bytes
            )
        };
        for layer in &self.layers {
            row(f, layer, layer.bytes())?;
        }
        row(f, &self.total(), self.bytes())?;
        write!(
            f,
            "MACs are for one image. Bytes are the committed network's: one bit a binary weight, four bytes a float."
        )
    }
}
