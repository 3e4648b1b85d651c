//! Random networks, and their evaluation with the trainer's kernels.
#![allow(dead_code)] // Not every test needs everything.

use std::collections::HashMap;
use stompp_graph::{ActivationRule, Conv, Graph, GraphBuilder, NodeId, Op, Pool, TensorRole};
use stompp_infer::{NetworkInfo, pack};
use stompp_kernels::{
    ChannelShape, ConvShape, FreezeState, PoolShape, add_forward, average_pool_forward, batch_norm_forward,
    conv2d_forward, global_average_pool_forward, linear_forward, max_pool_forward, quantize_forward, relu_forward,
};

/// A small generator of random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Returns a number in [-1, 1).
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

pub(crate) type Tensors = HashMap<String, Vec<f32>>;

/// Random tensors. Batch norms have ties and positive, negative and zero scales.
pub(crate) fn random_tensors(graph: &Graph, random: &mut Random) -> Tensors {
    let tensor = |spec: stompp_graph::TensorSpec| {
        let is_norm = graph.node(spec.node).op == Op::BatchNorm;
        let len = spec.shape.iter().product();
        let mut value = || match spec.role {
            TensorRole::Weight if is_norm => match random.below(8) {
                0 => 0.0,
                1 => -0.5,
                _ => 2.0 * random.float(),
            },
            TensorRole::Bias if is_norm => match random.below(4) {
                0 => 0.0,
                1 => random.float() * 3.0,
                _ => random.float(),
            },
            TensorRole::RunningMean => match random.below(3) {
                0 => (random.float() * 6.0).round(),
                1 => random.float() * 20.0,
                _ => random.float(),
            },
            TensorRole::RunningVar => match random.below(4) {
                0 => 0.0,
                1 => 50.0 * random.float().abs(),
                _ => random.float().abs(),
            },
            _ => random.float(),
        };
        let values = (0..len).map(|_| value()).collect();
        (spec.name, values)
    };
    graph.tensors().into_iter().map(tensor).collect()
}

pub(crate) fn packed(graph: &Graph, rule: ActivationRule, tensors: &Tensors) -> Vec<u8> {
    pack(
        graph,
        rule,
        |name| tensors.get(name).map(Vec::as_slice),
        &NetworkInfo::default(),
    )
    .expect("it packs")
}

/// Evaluates the graph for one image with the trainer's kernels, node by node. Returns the output of the graph.
pub(crate) fn reference(graph: &Graph, rule: ActivationRule, tensors: &Tensors, image: &[f32]) -> Vec<f32> {
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); graph.nodes().len()];
    values[0] = image.to_vec();
    for &id in graph.execution_order() {
        if id != graph.input() {
            values[id.index()] = node(graph, rule, tensors, &values, id);
        }
    }
    values.swap_remove(graph.output().index())
}

fn node(graph: &Graph, rule: ActivationRule, tensors: &Tensors, values: &[Vec<f32>], id: NodeId) -> Vec<f32> {
    let node = graph.node(id);
    let [channels, height, width] = node.shape;
    let mut y = vec![f32::NAN; channels * height * width];
    let x = &values[node.inputs[0].index()];
    let tensor = |suffix: &str| tensors[&format!("{}.{suffix}", node.name)].clone();
    let inner = |shape: [usize; 3]| ChannelShape {
        batch: 1,
        channels: shape[0],
        inner: shape[1] * shape[2],
    };
    let sign = |x: &[f32]| {
        let mut signs = vec![f32::NAN; x.len()];
        quantize_forward(FreezeState::Committed, x.len(), x, &mut signs);
        signs
    };
    let pool = |pool: Pool| {
        let [channels, in_height, in_width] = graph.first_input_shape(id);
        PoolShape {
            batch: 1,
            channels,
            in_height,
            in_width,
            kernel: pool.kernel,
            stride: pool.stride,
            padding: pool.padding,
        }
    };
    match node.op {
        Op::Conv(c) | Op::BinaryConv(c) => {
            let [in_channels, in_height, in_width] = graph.first_input_shape(id);
            let s = ConvShape {
                batch: 1,
                in_channels,
                in_height,
                in_width,
                out_channels: c.outputs,
                kernel: c.kernel,
                stride: c.stride,
                padding: c.padding,
            };
            let weight = tensor("weight");
            let weight = if matches!(node.op, Op::BinaryConv(_)) {
                sign(&weight)
            } else {
                weight
            };
            conv2d_forward(&s, x, &weight, &mut y);
        }
        Op::BatchNorm => {
            let inv_std: Vec<f32> = tensor("running_var").iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
            let (mean, scale, shift) = (tensor("running_mean"), tensor("weight"), tensor("bias"));
            batch_norm_forward(&inner(node.shape), x, &mean, &inv_std, &scale, &shift, &mut y);
        }
        Op::Activation if rule == ActivationRule::Quantized => y = sign(x),
        Op::Relu => relu_forward(x, &mut y),
        Op::Activation if rule == ActivationRule::Relu => relu_forward(x, &mut y),
        Op::Clip | Op::Activation => quantize_forward(FreezeState::Open, x.len(), x, &mut y),
        Op::Add => add_forward(x, &values[node.inputs[1].index()], &mut y),
        Op::MaxPool(p) => max_pool_forward(&pool(p), x, &mut y, &mut vec![0; channels * height * width]),
        Op::AveragePool(p) => average_pool_forward(&pool(p), x, &mut y),
        Op::GlobalAveragePool => global_average_pool_forward(&inner(graph.first_input_shape(id)), x, &mut y),
        Op::Linear { outputs } => linear_forward(1, x.len(), outputs, x, &tensor("weight"), &tensor("bias"), &mut y),
        Op::Input => unreachable!("the image is there"),
    }
    y
}

/// Whether the trainer uses Winograd's method for a float convolution. Then the last bits of the sums differ.
fn is_winograd(shape: [usize; 3], conv: Conv) -> bool {
    (conv.kernel, conv.stride, conv.padding) == (3, 1, 1)
        && shape[1].is_multiple_of(2)
        && shape[2].is_multiple_of(2)
        && shape[0].min(conv.outputs) >= 16
}

/// A random network with branches and every op, with odd and even sizes and any number of channels.
pub(crate) fn random_graph(random: &mut Random, rule: ActivationRule) -> Graph {
    let channels = [
        1, 2, 3, 5, 8, 13, 16, 17, 24, 31, 32, 33, 40, 48, 63, 64, 65, 70, 96, 130,
    ];
    let image = [random.pick(&channels[..8]), 3 + random.below(9), 3 + random.below(9)];
    let mut g = GraphBuilder::new(image);
    // Nodes, and whether their values are signs.
    let mut nodes = vec![(g.input(), false)];
    let mut readers = vec![0];
    let is_quantized = rule == ActivationRule::Quantized;
    for number in 0..4 + random.below(14) {
        let name = format!("n{number}");
        let last_first = nodes.len() - 1 - random.below(nodes.len().min(3));
        let (x, is_signs) = nodes[last_first];
        let shape = g.shape(x);
        let conv = Conv {
            outputs: random.pick(&channels),
            kernel: random.pick(&[1, 1, 2, 3, 3, 3, 5, 8]),
            stride: random.pick(&[1, 1, 1, 2, 3]),
            padding: random.below(3),
        };
        let conv = Conv {
            padding: conv.padding.min(conv.kernel - 1),
            ..conv
        };
        let is_exact = !is_winograd(shape, conv);
        let mut other = None;
        let added = match random.below(20) {
            0..5 if is_exact || is_signs => g.binary_conv(&name, x, conv).map(|id| (id, false)),
            5..7 if is_exact && shape[0] * conv.outputs < 1500 => g.conv(&name, x, conv).map(|id| (id, false)),
            7..10 => g.batch_norm(&name, x).map(|id| (id, false)),
            10..14 => g.activation(&name, x).map(|id| (id, is_quantized)),
            14..17 => {
                let same: Vec<usize> = (0..nodes.len()).filter(|i| g.shape(nodes[*i].0) == shape).collect();
                let at = random.pick(&same);
                other = Some(at);
                g.add(&name, x, nodes[at].0).map(|id| (id, false))
            }
            17 => g
                .max_pool(
                    &name,
                    x,
                    Pool::new(3)
                        .with_stride(1 + random.below(2))
                        .with_padding(random.below(2)),
                )
                .map(|id| (id, is_signs)),
            18 => g
                .average_pool(&name, x, Pool::new(2).with_stride(1 + random.below(2)))
                .map(|id| (id, false)),
            _ if random.below(2) == 0 => g.relu(&name, x).map(|id| (id, false)),
            _ => g.clip(&name, x).map(|id| (id, false)),
        };
        // Nodes that do not fit their input are left out.
        if let Ok(added) = added {
            nodes.push(added);
            readers.push(0);
            readers[last_first] += 1;
            if let Some(other) = other {
                readers[other] += 1;
            }
        }
    }
    // All unread values go into the output.
    let mut logits = None;
    for (number, ((x, _), readers)) in nodes.iter().zip(&readers).enumerate() {
        if *readers > 0 {
            continue;
        }
        let pooled = if random.below(2) == 0 {
            g.global_average_pool(&format!("p{number}"), *x).unwrap()
        } else {
            *x
        };
        let of_node = g.linear(&format!("l{number}"), pooled, 7).unwrap();
        logits = Some(match logits {
            None => of_node,
            Some(logits) => g.add(&format!("s{number}"), logits, of_node).unwrap(),
        });
    }
    g.finish(logits.unwrap()).unwrap()
}
