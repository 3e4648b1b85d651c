//! Milliseconds an image, one thread, batch 1, of networks with random weights: minimum and median of many runs.
//!
//! `cargo bench -p stompp-infer [-- NAME...]`; `STOMPP_SIMD` chooses the level. Names: resnet18, resnet20, ... and `layer`.

use std::time::Instant;
use stompp_graph::{ActivationRule, Conv, Graph, GraphBuilder};
use stompp_infer::{Info, Network, pack};
use stompp_resnet::{Architecture, Model};

/// Random values in [-1, 1); variances and scales are their absolute values.
fn tensors(graph: &Graph) -> Vec<(String, Vec<f32>)> {
    let mut state = 7_u64;
    let mut float = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let tensor = |spec: stompp_graph::TensorSpec| {
        let values = (0..spec.shape.iter().product::<usize>())
            .map(|_| float().abs().max(0.01) - if spec.shape.len() > 1 { 0.5 } else { 0.0 });
        (spec.name, values.collect())
    };
    graph.tensors().into_iter().map(tensor).collect()
}

fn measure(name: &str, graph: &Graph, rule: ActivationRule) {
    let tensors = tensors(graph);
    let find = |name: &str| {
        tensors
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, values)| &values[..])
    };
    let file = pack(graph, rule, find, &Info::default()).expect("it packs");
    let network = Network::from_bytes(&file).expect("it opens");
    let image: Vec<f32> = (0..graph.input_shape().iter().product())
        .map(|i: usize| (i % 17) as f32 / 8.0 - 1.0)
        .collect();
    let mut scratch = network.scratch().expect("memory");
    let mut logits = vec![0.0; network.outputs()];
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 20 || (start.elapsed().as_secs_f64() < 3.0 && times.len() < 2000) {
        let start = Instant::now();
        network.run(&image, &mut scratch, &mut logits).expect("lengths fit");
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{name:<28} {:>8} minimum {:>8.4} ms, median {:>8.4} ms, n {}, file {} bytes, scratch {} bytes",
        network.level().name(),
        times[0],
        times[times.len() / 2],
        times.len(),
        file.len(),
        network.scratch_bytes()
    );
}

/// One binary convolution with batch norm and sign, between bits.
fn layer(channels: usize, size: usize) -> Graph {
    let mut g = GraphBuilder::new([channels, size, size]);
    let mut x = g.activation("act", g.input()).expect("fits");
    for number in 0..8 {
        x = g
            .binary_conv(&format!("conv{number}"), x, Conv::k3(channels))
            .expect("fits");
        x = g.batch_norm(&format!("bn{number}"), x).expect("fits");
        x = g.activation(&format!("act{number}"), x).expect("fits");
    }
    g.finish(x).expect("fits")
}

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");
    pool.install(|| {
        let wanted = |name: &str| names.is_empty() || names.iter().any(|other| other == name);
        for name in ["resnet20", "resnet18", "bireal18", "bireal20"] {
            if wanted(name) {
                let model: Model = name.parse().expect("a model");
                let graph = Architecture::new(model, None, 10, 32).expect("fits").graph();
                measure(name, &graph, ActivationRule::Quantized);
            }
        }
        if wanted("bwn18") {
            let graph = Architecture::new(Model::ResNet18, None, 10, 32).expect("fits").graph();
            measure("resnet18, BWN", &graph, ActivationRule::Relu);
        }
        if wanted("layer") {
            for (channels, size) in [(16, 32), (32, 16), (64, 8), (64, 32), (128, 16), (256, 8), (512, 4)] {
                measure(
                    &format!("8 layers {channels}@{size}"),
                    &layer(channels, size),
                    ActivationRule::Quantized,
                );
            }
        }
    });
}
