//! Converts a graph and trained tensors to an ONNX model.

use crate::{
    Dialect, ExportError,
    model::{
        Attribute::{self, Float, Int, Ints},
        Model,
    },
};
use stompp_graph::{ActivationRule, Conv, Graph, NodeId, Op, Pool, Shape};

/// Added to a batch norm's variance, as in the trainer.
const EPSILON: f32 = 1e-5;

/// Domain of QONNX's operators.
const QONNX: &str = "qonnx.custom_op.general";
/// Domain of OpenVINO's operators.
const OPENVINO: &str = "org.openvinotoolkit";

/// Exports the committed network of `graph` as an ONNX model and returns the bytes of the file. Binary weights are the signs of the latent
/// weights; batch norms use their running statistics.
///
/// `tensor` returns the values of a tensor by its name in [`Graph::tensors`], in row-major order. `metadata` has names and values that are
/// stored in the file. The model's input `image` is (batch, channels, height, width), normalized; its output `logits` is (batch, classes).
/// Equal arguments give equal bytes.
///
/// # Errors
/// Returns [`ExportError::Missing`] if a tensor is missing and [`ExportError::Length`] if it has the wrong length.
pub fn export<'a>(
    graph: &Graph,
    activations: ActivationRule,
    tensor: impl Fn(&str) -> Option<&'a [f32]>,
    dialect: Dialect,
    metadata: &[(&str, String)],
) -> Result<Vec<u8>, ExportError> {
    let mut exporter = Exporter {
        graph,
        activations,
        tensor: &tensor,
        dialect,
        model: Model::default(),
        values: vec![String::new(); graph.nodes().len()],
        needed: Vec::new(),
    };
    exporter.needed = exporter.needed_values();
    for spec in graph.tensors() {
        exporter.check_tensor(&spec.name, spec.shape.iter().product())?;
    }
    for &id in graph.execution_order() {
        if exporter.needed[id.index()] {
            exporter.values[id.index()] = exporter.node(id);
        }
    }
    let output = exporter.value(graph.output());
    let classes: usize = graph.output_shape().iter().product();
    let mut model = exporter.model;
    model.node("Flatten", "logits", &[&output], vec![("axis", Int(1))]);
    let batch = (dialect == Dialect::OpenVino).then_some(1);
    Ok(model.finish(batch, ("image", &graph.input_shape()), ("logits", &[classes]), metadata))
}

struct Exporter<'g, 'f, 'a> {
    graph: &'g Graph,
    activations: ActivationRule,
    tensor: &'f dyn Fn(&str) -> Option<&'a [f32]>,
    dialect: Dialect,
    model: Model,
    /// The name of each node's value.
    values: Vec<String>,
    /// Whether the node's value must be in the model. Convolutions on bits do not read it, because they have their own `FakeQuantize`.
    needed: Vec<bool>,
}

impl<'a> Exporter<'_, '_, 'a> {
    fn check_tensor(&self, name: &str, wanted: usize) -> Result<(), ExportError> {
        let values = (self.tensor)(name).ok_or_else(|| ExportError::Missing(name.to_owned()))?;
        if values.len() != wanted {
            return Err(ExportError::Length {
                name: name.to_owned(),
                given: values.len(),
                wanted,
            });
        }
        Ok(())
    }

    /// Returns a tensor of a node. The tensor must have passed `check_tensor`.
    fn get(&self, id: NodeId, suffix: &str) -> &'a [f32] {
        (self.tensor)(&format!("{}.{suffix}", self.graph.node(id).name)).unwrap_or_default()
    }

    /// Adds a tensor as a constant of the same name. Returns the name.
    fn constant(&mut self, id: NodeId, suffix: &str, shape: &[usize]) -> String {
        let values = self.get(id, suffix);
        self.model
            .floats(format!("{}.{suffix}", self.graph.node(id).name), shape, values)
    }

    /// Adds the operators of node `id` to the model. Returns the name of its value.
    fn node(&mut self, id: NodeId) -> String {
        let graph = self.graph;
        let node = graph.node(id);
        let name = node.name.as_str();
        let Some(&first) = node.inputs.first() else {
            return "image".to_owned();
        };
        if self.is_on_bits(id) {
            return self.conv_on_bits(id);
        }
        let x = self.value(first);
        let [channels, ..] = node.shape;
        match node.op {
            Op::Input => x,
            Op::Conv(conv) => {
                let shape = [conv.outputs, graph.first_input_shape(id)[0], conv.kernel, conv.kernel];
                let weight = self.constant(id, "weight", &shape);
                self.model.node("Conv", name, &[&x, &weight], conv_windows(conv))
            }
            Op::BinaryConv(conv) => {
                let weight = self.signs(id, conv);
                self.model.node("Conv", name, &[&x, &weight], conv_windows(conv))
            }
            Op::BatchNorm => {
                let [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
                    .map(|suffix| self.constant(id, suffix, &[channels]));
                let inputs = [&x, &scale, &shift, &mean, &variance].map(String::as_str);
                self.model
                    .node("BatchNormalization", name, &inputs, vec![("epsilon", Float(EPSILON))])
            }
            Op::Activation => match self.activations {
                ActivationRule::Quantized => self.sign(name, &x),
                ActivationRule::Relu => self.model.node("Relu", name, &[&x], Vec::new()),
                ActivationRule::Clip => self.clip(name, &x),
            },
            Op::Relu => self.model.node("Relu", name, &[&x], Vec::new()),
            Op::Clip => self.clip(name, &x),
            Op::Add => {
                let y = self.value(node.inputs[1]);
                self.model.node("Add", name, &[&x, &y], Vec::new())
            }
            Op::MaxPool(pool) => self.model.node("MaxPool", name, &[&x], pool_windows(pool)),
            Op::AveragePool(pool) => self.model.node("AveragePool", name, &[&x], pool_windows(pool)),
            Op::GlobalAveragePool => self.model.node("GlobalAveragePool", name, &[&x], Vec::new()),
            Op::Linear { outputs } => self.linear(id, &x, outputs),
        }
    }

    /// Returns the name of the value of `id`.
    fn value(&self, id: NodeId) -> String {
        self.values[id.index()].clone()
    }

    /// Whether node `id` is a binary convolution of signs that OpenVINO computes on bits. The input channels must be a multiple of 8: for
    /// other numbers, OpenVINO 2026.4 computes wrong sums.
    fn is_on_bits(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        self.dialect == Dialect::OpenVino
            && self.activations == ActivationRule::Quantized
            && matches!(node.op, Op::BinaryConv(_))
            && self.graph.binary_source(node.inputs[0]).is_some()
            && self.graph.first_input_shape(id)[0].is_multiple_of(8)
    }

    /// Returns for each node whether its value must be in the model.
    fn needed_values(&self) -> Vec<bool> {
        let graph = self.graph;
        let mut needed = vec![false; graph.nodes().len()];
        for (id, _) in graph.iter().rev() {
            let reads = |reader: &NodeId| match graph.node(*reader).op {
                Op::BinaryConv(_) => !self.is_on_bits(*reader),
                Op::MaxPool(_) => needed[reader.index()],
                _ => true,
            };
            // If only convolutions on bits read a pool or activation, each of them has its own copy.
            let is_source = graph.binary_source(id).is_some();
            needed[id.index()] = id == graph.output() || !is_source || graph.consumers(id).iter().any(reads);
        }
        needed
    }

    /// Adds a convolution that OpenVINO computes on bits. The signs `x` become two levels, 0 and 1: `a = (x + 1) / 2`. The sum over `x` is
    /// twice the sum over `a`, minus the sum of the weights that are not over padding. All values are integers, so this is exact.
    fn conv_on_bits(&mut self, id: NodeId) -> String {
        let graph = self.graph;
        let node = graph.node(id);
        let Op::BinaryConv(conv) = node.op else {
            unreachable!("only binary convolutions are on bits");
        };
        let name = node.name.as_str();
        // Max pools are moved before the `FakeQuantize`, which gives the same result: OpenVINO expects it right before the convolution.
        let (mut pools, mut source) = (Vec::new(), node.inputs[0]);
        while let Op::MaxPool(pool) = graph.node(source).op {
            pools.push((source, pool));
            source = graph.node(source).inputs[0];
        }
        let mut x = self.value(graph.node(source).inputs[0]);
        for (id, pool) in pools.into_iter().rev() {
            let pool_name = format!("{}/{name}", graph.node(id).name);
            x = self.model.node("MaxPool", pool_name, &[&x], pool_windows(pool));
        }
        // Values above the threshold are +1. This includes 0.
        let threshold = self.model.floats("below_zero", &[], &[-f32::MIN_POSITIVE]);
        let (zero, one) = (
            self.model.floats("zero", &[], &[0.0]),
            self.model.floats("one", &[], &[1.0]),
        );
        let inputs = [&x, &threshold, &threshold, &zero, &one].map(String::as_str);
        let levels = format!("{}/{name}", graph.node(source).name);
        let levels = self
            .model
            .node_in_domain(OPENVINO, "FakeQuantize", levels, &inputs, vec![("levels", Int(2))]);
        let weight = self.signs(id, conv);
        let sums = self
            .model
            .node("Conv", format!("{name}/sums"), &[&levels, &weight], conv_windows(conv));
        let two = self.model.floats("two", &[], &[2.0]);
        let twice = self
            .model
            .node("Mul", format!("{name}/twice"), &[&sums, &two], Vec::new());
        let [outputs, height, width] = node.shape;
        let offset = weight_sums(graph.first_input_shape(id), node.shape, conv, self.get(id, "weight"));
        let offset = self
            .model
            .floats(format!("{name}/offset"), &[1, outputs, height, width], &offset);
        self.model.node("Sub", name, &[&twice, &offset], Vec::new())
    }

    /// Adds the sign of `x`: -1 where `x` is negative, else +1. ONNX's `Sign` is not used, because it is 0 at 0.
    fn sign(&mut self, name: &str, x: &str) -> String {
        if self.dialect == Dialect::Qonnx {
            let one = self.model.floats("one", &[], &[1.0]);
            return self
                .model
                .node_in_domain(QONNX, "BipolarQuant", name, &[x, &one], Vec::new());
        }
        let (zero, one) = (
            self.model.floats("zero", &[], &[0.0]),
            self.model.floats("one", &[], &[1.0]),
        );
        let minus_one = self.model.floats("minus_one", &[], &[-1.0]);
        let positive = self
            .model
            .node("GreaterOrEqual", format!("{name}/positive"), &[x, &zero], Vec::new());
        self.model
            .node("Where", name, &[&positive, &one, &minus_one], Vec::new())
    }

    /// Adds the signs of a binary convolution's latent weight.
    fn signs(&mut self, id: NodeId, conv: Conv) -> String {
        let shape = [
            conv.outputs,
            self.graph.first_input_shape(id)[0],
            conv.kernel,
            conv.kernel,
        ];
        let signs: Vec<f32> = self.get(id, "weight").iter().map(|w| sign(*w)).collect();
        let name = format!("{}.weight", self.graph.node(id).name);
        let weight = self.model.floats(&name, &shape, &signs);
        if self.dialect == Dialect::Qonnx {
            let one = self.model.floats("one", &[], &[1.0]);
            return self.model.node_in_domain(
                QONNX,
                "BipolarQuant",
                format!("{name}/bipolar"),
                &[&weight, &one],
                Vec::new(),
            );
        }
        weight
    }

    fn clip(&mut self, name: &str, x: &str) -> String {
        let (low, high) = (
            self.model.floats("minus_one", &[], &[-1.0]),
            self.model.floats("one", &[], &[1.0]),
        );
        self.model.node("Clip", name, &[x, &low, &high], Vec::new())
    }

    /// Adds a fully connected layer. Its value is (batch, outputs, 1, 1), because other nodes expect four dimensions. Only as the
    /// network's output it is (batch, outputs).
    fn linear(&mut self, id: NodeId, x: &str, outputs: usize) -> String {
        let name = self.graph.node(id).name.as_str();
        let inputs = self.graph.patch_entries(id);
        let (weight, bias) = (
            self.constant(id, "weight", &[outputs, inputs]),
            self.constant(id, "bias", &[outputs]),
        );
        let flat = self
            .model
            .node("Flatten", format!("{name}/flat"), &[x], vec![("axis", Int(1))]);
        let attributes = vec![("transB", Int(1))];
        let product = self
            .model
            .node("Gemm", format!("{name}/product"), &[&flat, &weight, &bias], attributes);
        if id == self.graph.output() {
            return product;
        }
        let shape = self
            .model
            .integers(format!("{name}/shape"), &[-1, outputs as i64, 1, 1]);
        self.model.node("Reshape", name, &[&product, &shape], Vec::new())
    }
}

fn sign(value: f32) -> f32 {
    if value >= 0.0 { 1.0 } else { -1.0 }
}

/// Computes for each output of a convolution the sum of the signs of the weights that are not over padding.
fn weight_sums(input: Shape, [outputs, height, width]: Shape, conv: Conv, weight: &[f32]) -> Vec<f32> {
    let area = conv.kernel * conv.kernel;
    let mut sums = Vec::with_capacity(outputs * height * width);
    for kernel in weight.chunks(input[0] * area) {
        let mut taps = vec![0.0; area];
        kernel
            .iter()
            .enumerate()
            .for_each(|(at, w)| taps[at % area] += sign(*w));
        for at in 0..height * width {
            let (row, column) = (at / width * conv.stride, at % width * conv.stride);
            let is_inside = |tap: usize| {
                let (y, x) = (row + tap / conv.kernel, column + tap % conv.kernel);
                (conv.padding..conv.padding + input[1]).contains(&y)
                    && (conv.padding..conv.padding + input[2]).contains(&x)
            };
            sums.push((0..area).filter(|tap| is_inside(*tap)).map(|tap| taps[tap]).sum());
        }
    }
    sums
}

/// Returns the window attributes of a convolution.
fn conv_windows(conv: Conv) -> Vec<(&'static str, Attribute)> {
    windows(conv.kernel, conv.stride, conv.padding)
}

/// Returns the window attributes of a pooling op.
fn pool_windows(pool: Pool) -> Vec<(&'static str, Attribute)> {
    windows(pool.kernel, pool.stride, pool.padding)
}

fn windows(kernel: usize, stride: usize, padding: usize) -> Vec<(&'static str, Attribute)> {
    vec![
        ("kernel_shape", Ints(vec![kernel; 2])),
        ("strides", Ints(vec![stride; 2])),
        ("pads", Ints(vec![padding; 4])),
    ]
}

#[cfg(test)]
mod tests;
