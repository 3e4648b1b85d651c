//! Runs exported models in a small ONNX interpreter and compares them with the packed network.

use super::*;
use crate::proto::{AttributeProto, DimensionValue, ModelProto, NodeProto, TensorProto};
use prost::Message;
use std::collections::HashMap;
use stompp_graph::{GraphBuilder, TensorRole};
use stompp_infer::{Network, NetworkInfo, pack};

/// Values and their shape.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Value {
    fn new(shape: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Self {
            shape: shape.to_vec(),
            data,
        }
    }

    /// Returns the entry for entry `at` of a value of `shape`, with ONNX's broadcasting.
    fn broadcast(&self, shape: &[usize], mut at: usize) -> f32 {
        let (mut index, mut step) = (0, 1);
        for (axis, &size) in shape.iter().enumerate().rev() {
            let place = at % size;
            at /= size;
            let Some(own) = (axis + self.shape.len()).checked_sub(shape.len()) else {
                continue;
            };
            if self.shape[own] != 1 {
                assert_eq!(self.shape[own], size);
                index += place * step;
            }
            step *= self.shape[own];
        }
        self.data[index]
    }
}

fn ints(node: &NodeProto, name: &str) -> Vec<usize> {
    let attribute = node.attribute.iter().find(|attribute| attribute.name == name).unwrap();
    assert_eq!(attribute.r#type, AttributeProto::INTS);
    attribute.ints.iter().map(|i| *i as usize).collect()
}

/// Computes `f` for each output of windows over `x`, from the channel and the entry under each tap (`None` over padding).
fn over_windows(
    node: &NodeProto,
    x: &Value,
    outputs: usize,
    f: impl Fn(usize, &dyn Fn(usize, usize) -> Option<f32>) -> f32,
) -> Value {
    let [_, channels, height, width] = x.shape[..] else {
        panic!("four dimensions")
    };
    let (k, s, p) = (
        ints(node, "kernel_shape")[0],
        ints(node, "strides")[0],
        ints(node, "pads")[0],
    );
    let side = |size: usize| (size + 2 * p - k) / s + 1;
    let mut data = Vec::new();
    for o in 0..outputs {
        for y in 0..side(height) {
            for column in 0..side(width) {
                let tap = |channel: usize, tap: usize| {
                    let (row, column) = (y * s + tap / k, column * s + tap % k);
                    let inside = (p..p + height).contains(&row) && (p..p + width).contains(&column);
                    inside.then(|| x.data[(channel * height + row - p) * width + column - p])
                };
                data.push(f(o, &tap));
            }
        }
    }
    assert!(channels > 0);
    Value::new(&[1, outputs, side(height), side(width)], data)
}

fn compute(node: &NodeProto, inputs: &[&Value]) -> Value {
    let x = inputs[0];
    let map = |f: &dyn Fn(f32) -> f32| Value::new(&x.shape, x.data.iter().map(|v| f(*v)).collect());
    let each = |f: &dyn Fn(&[f32]) -> f32| {
        let longest = inputs.iter().max_by_key(|value| value.data.len()).unwrap();
        let data = (0..longest.data.len()).map(|at| {
            let values: Vec<f32> = inputs.iter().map(|value| value.broadcast(&longest.shape, at)).collect();
            f(&values)
        });
        Value::new(&longest.shape, data.collect())
    };
    let area = |node: &NodeProto| ints(node, "kernel_shape").iter().product::<usize>();
    match (node.domain.as_str(), node.op_type.as_str()) {
        ("", "Conv") => {
            let (weight, channels) = (inputs[1], x.shape[1]);
            assert_eq!(weight.shape[1], channels);
            over_windows(node, x, weight.shape[0], |o, tap| {
                let terms = (0..channels).flat_map(|c| (0..area(node)).map(move |t| (c, t)));
                let term = |(c, t)| {
                    f64::from(tap(c, t).unwrap_or(0.0)) * f64::from(weight.data[(o * channels + c) * area(node) + t])
                };
                terms.map(term).sum::<f64>() as f32
            })
        }
        ("", "MaxPool") => over_windows(node, x, x.shape[1], |c, tap| {
            (0..area(node))
                .filter_map(|t| tap(c, t))
                .fold(f32::NEG_INFINITY, f32::max)
        }),
        ("", "AveragePool") => over_windows(node, x, x.shape[1], |c, tap| {
            (0..area(node)).map(|t| tap(c, t).unwrap()).sum::<f32>() / area(node) as f32
        }),
        ("", "GlobalAveragePool") => {
            let plane = x.shape[2] * x.shape[3];
            let means = x
                .data
                .chunks(plane)
                .map(|plane| plane.iter().sum::<f32>() / plane.len() as f32);
            Value::new(&[1, x.shape[1], 1, 1], means.collect())
        }
        ("", "BatchNormalization") => {
            let plane = x.data.len() / x.shape[1];
            let epsilon = node.attribute[0].f;
            let data = x.data.iter().enumerate().map(|(at, v)| {
                let [scale, shift, mean, variance] = std::array::from_fn(|i| f64::from(inputs[1 + i].data[at / plane]));
                ((f64::from(*v) - mean) / (variance + f64::from(epsilon)).sqrt() * scale + shift) as f32
            });
            Value::new(&x.shape, data.collect())
        }
        ("", "Gemm") => {
            let weight = inputs[1];
            let rows = weight.data.chunks(weight.shape[1]).zip(&inputs[2].data);
            let data = rows.map(|(row, bias)| row.iter().zip(&x.data).map(|(a, b)| a * b).sum::<f32>() + bias);
            Value::new(&[1, weight.shape[0]], data.collect())
        }
        ("", "Flatten") => Value::new(&[1, x.data.len()], x.data.clone()),
        ("", "Reshape") => Value::new(&[1, x.data.len(), 1, 1], x.data.clone()),
        ("", "Relu") => map(&|v| v.max(0.0)),
        ("", "Clip") => each(&|v| v[0].clamp(v[1], v[2])),
        ("", "Add") => each(&|v| v[0] + v[1]),
        ("", "Sub") => each(&|v| v[0] - v[1]),
        ("", "Mul") => each(&|v| v[0] * v[1]),
        ("", "GreaterOrEqual") => each(&|v| f32::from(u8::from(v[0] >= v[1]))),
        ("", "Where") => each(&|v| if v[0] != 0.0 { v[1] } else { v[2] }),
        (QONNX, "BipolarQuant") => each(&|v| if v[0] >= 0.0 { v[1] } else { -v[1] }),
        (OPENVINO, "FakeQuantize") => each(&|v| {
            assert_eq!((v[1], node.attribute[0].i), (v[2], 2));
            if v[0] <= v[1] { v[3] } else { v[4] }
        }),
        other => panic!("unexpected operator {other:?}"),
    }
}

/// The logits of one image.
fn run(file: &[u8], image: &[f32]) -> Vec<f32> {
    let model = ModelProto::decode(file).unwrap();
    let graph = model.graph.unwrap();
    let mut values: HashMap<String, Value> = HashMap::new();
    for constant in &graph.initializer {
        let shape: Vec<usize> = constant.dims.iter().map(|size| *size as usize).collect();
        if constant.data_type == TensorProto::FLOAT {
            let data = constant
                .raw_data
                .chunks(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            values.insert(constant.name.clone(), Value::new(&shape, data.collect()));
        } else {
            values.insert(constant.name.clone(), Value::new(&[0], Vec::new()));
        }
    }
    let dims = &graph.input[0]
        .r#type
        .as_ref()
        .unwrap()
        .tensor_type
        .as_ref()
        .unwrap()
        .shape
        .as_ref()
        .unwrap()
        .dim;
    let mut shape: Vec<usize> = vec![1];
    for dim in &dims[1..] {
        match dim.value {
            Some(DimensionValue::DimValue(size)) => shape.push(size as usize),
            _ => panic!("only the batch is open"),
        }
    }
    values.insert(graph.input[0].name.clone(), Value::new(&shape, image.to_vec()));
    for node in &graph.node {
        let inputs: Vec<&Value> = node.input.iter().map(|name| &values[name]).collect();
        let value = compute(node, &inputs);
        assert!(
            values.insert(node.output[0].clone(), value).is_none(),
            "one value a name"
        );
    }
    values.remove(&graph.output[0].name).unwrap().data
}

/// A network with every op: pools between activation and convolution, shortcuts of signs and of floats, odd sizes, and numbers of channels
/// that are not multiples of 8.
fn graph() -> Graph {
    let mut g = GraphBuilder::new([3, 11, 9]);
    let x = g.conv("conv1", g.input(), Conv::k3(16)).unwrap();
    let x = g.batch_norm("bn1", x).unwrap();
    let a = g.activation("act1", x).unwrap();
    let y = g.binary_conv("conv2", a, Conv::k3(16)).unwrap();
    let y = g.batch_norm("bn2", y).unwrap();
    let y = g.add("add2", y, a).unwrap();
    let a = g.activation("act2", y).unwrap();
    let p = g
        .max_pool("pool2", a, Pool::new(3).with_stride(2).with_padding(1))
        .unwrap();
    let y = g.binary_conv("conv3", p, Conv::k3(12).with_stride(2)).unwrap();
    let y = g.batch_norm("bn3", y).unwrap();
    let s = g.average_pool("shrink", p, Pool::new(2)).unwrap();
    let s = g.conv("conv3s", s, Conv::k1(12)).unwrap();
    let s = g.relu("relu3", s).unwrap();
    let y = g.conv("conv3b", y, Conv::new(12, 1)).unwrap();
    let s = g.clip("clip3", s).unwrap();
    let s = g.binary_conv("conv3c", s, Conv::k3(12)).unwrap();
    let y = g.global_average_pool("y", y).unwrap();
    let s = g.global_average_pool("s", s).unwrap();
    let y = g.add("add3", y, s).unwrap();
    let h = g.linear("hidden", y, 24).unwrap();
    let h = g.batch_norm("bn4", h).unwrap();
    let a = g.activation("act4", h).unwrap();
    let h = g.binary_conv("conv4", a, Conv::k1(8)).unwrap();
    let a = g.activation("act5", h).unwrap();
    let h = g.binary_conv("conv5", a, Conv::k1(8)).unwrap();
    let logits = g.linear("fc", h, 5).unwrap();
    g.finish(logits).unwrap()
}

struct Random(u64);

impl Random {
    /// Returns a number in [-1, 1).
    fn float(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn tensors(graph: &Graph, random: &mut Random) -> HashMap<String, Vec<f32>> {
    let values = |spec: stompp_graph::TensorSpec| {
        let value = |random: &mut Random| match spec.role {
            TensorRole::RunningVar => random.float().abs() + 0.1,
            _ => random.float(),
        };
        let count = spec.shape.iter().product();
        (spec.name.clone(), (0..count).map(|_| value(random)).collect())
    };
    graph.tensors().into_iter().map(values).collect()
}

const RULES: [ActivationRule; 3] = [ActivationRule::Quantized, ActivationRule::Relu, ActivationRule::Clip];
const DIALECTS: [Dialect; 3] = [Dialect::Standard, Dialect::Qonnx, Dialect::OpenVino];

#[test]
fn every_dialect_computes_the_packed_network() {
    let graph = graph();
    let mut random = Random(1);
    for rule in RULES {
        let tensors = tensors(&graph, &mut random);
        let find = |name: &str| tensors.get(name).map(Vec::as_slice);
        let packed = pack(&graph, rule, find, &NetworkInfo::default()).unwrap();
        let network = Network::from_bytes(&packed).unwrap();
        let files = DIALECTS.map(|dialect| export(&graph, rule, find, dialect, &[]).unwrap());
        for _ in 0..5 {
            let image: Vec<f32> = (0..3 * 11 * 9).map(|_| 2.0 * random.float()).collect();
            let expected = network.logits(&image).unwrap();
            for (file, dialect) in files.iter().zip(DIALECTS) {
                let logits = run(file, &image);
                assert_eq!(logits.len(), 5);
                let close = logits
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
                assert!(close, "{rule:?} {dialect:?}: {logits:?} {expected:?}");
            }
        }
    }
}

/// The test detects a sign that is 0 at 0 and a missing shortcut.
#[test]
fn a_wrong_network_is_told_from_the_right_one() {
    let graph = graph();
    let mut tensors = tensors(&graph, &mut Random(2));
    let image: Vec<f32> = (0..3 * 11 * 9).map(|i| (i % 7) as f32 / 3.0 - 1.0).collect();
    let logits = |tensors: &HashMap<String, Vec<f32>>| {
        let find = |name: &str| tensors.get(name).map(Vec::as_slice);
        run(
            &export(&graph, ActivationRule::Quantized, find, Dialect::OpenVino, &[]).unwrap(),
            &image,
        )
    };
    let before = logits(&tensors);
    let weight = tensors.get_mut("conv2.weight").unwrap();
    weight.iter_mut().for_each(|w| *w = -*w);
    assert_ne!(logits(&tensors), before);
}

#[test]
fn operators_are_those_of_the_dialect() {
    let graph = graph();
    let tensors = tensors(&graph, &mut Random(3));
    let find = |name: &str| tensors.get(name).map(Vec::as_slice);
    let model = |dialect| {
        let metadata = [("classes", "a\nb".to_owned())];
        let file = export(&graph, ActivationRule::Quantized, find, dialect, &metadata).unwrap();
        assert_eq!(
            file,
            export(&graph, ActivationRule::Quantized, find, dialect, &metadata).unwrap()
        );
        ModelProto::decode(&file[..]).unwrap()
    };
    let count = |model: &ModelProto, op: &str| {
        let nodes = &model.graph.as_ref().unwrap().node;
        nodes.iter().filter(|node| node.op_type == op).count()
    };
    let domains = |model: &ModelProto| {
        let domains = model.opset_import.iter().map(|import| import.domain.clone());
        domains.collect::<Vec<_>>()
    };
    let standard = model(Dialect::Standard);
    assert_eq!((count(&standard, "Where"), count(&standard, "Sign")), (4, 0));
    assert_eq!(domains(&standard), [""]);
    assert_eq!(standard.metadata_props[0].value, "a\nb");
    let qonnx = model(Dialect::Qonnx);
    // Four activations, five binary weights.
    assert_eq!((count(&qonnx, "BipolarQuant"), count(&qonnx, "Where")), (9, 0));
    assert_eq!(domains(&qonnx), ["", QONNX]);
    let openvino = model(Dialect::OpenVino);
    // `FakeQuantize` for conv2, conv3, conv4 and conv5; `Where` for act1 and act2, which other nodes read, too.
    assert_eq!((count(&openvino, "FakeQuantize"), count(&openvino, "Where")), (4, 2));
    assert_eq!(domains(&openvino), ["", OPENVINO]);
    let batch = |model: &ModelProto| {
        let input = model.graph.as_ref().unwrap().input[0].r#type.clone().unwrap();
        input.tensor_type.unwrap().shape.unwrap().dim[0].value.clone().unwrap()
    };
    assert_eq!(batch(&standard), DimensionValue::DimParam("batch".to_owned()));
    assert_eq!(batch(&openvino), DimensionValue::DimValue(1));
}

/// OpenVINO 2026.4 computes wrong sums there.
#[test]
fn channels_that_are_no_multiple_of_8_are_not_given_to_openvino_as_levels() {
    let mut g = GraphBuilder::new([12, 4, 4]);
    let a = g.activation("act", g.input()).unwrap();
    let y = g.binary_conv("conv", a, Conv::k3(16)).unwrap();
    let graph = g.finish(y).unwrap();
    let tensors = tensors(&graph, &mut Random(4));
    let find = |name: &str| tensors.get(name).map(Vec::as_slice);
    let file = export(&graph, ActivationRule::Quantized, find, Dialect::OpenVino, &[]).unwrap();
    let nodes = ModelProto::decode(&file[..]).unwrap().graph.unwrap().node;
    let ops: Vec<&str> = nodes.iter().map(|node| node.op_type.as_str()).collect();
    assert_eq!(ops, ["GreaterOrEqual", "Where", "Conv", "Flatten"]);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let graph = graph();
    let mut tensors = tensors(&graph, &mut Random(5));
    let error = |tensors: &HashMap<String, Vec<f32>>| {
        let find = |name: &str| tensors.get(name).map(Vec::as_slice);
        export(&graph, ActivationRule::Quantized, find, Dialect::Standard, &[])
            .unwrap_err()
            .to_string()
    };
    tensors.get_mut("bn2.bias").unwrap().push(0.0);
    assert_eq!(
        error(&tensors),
        "tensor `bn2.bias` has 17 entries, the graph expects 16"
    );
    tensors.remove("bn2.bias");
    assert_eq!(error(&tensors), "tensor `bn2.bias` is missing");
}
