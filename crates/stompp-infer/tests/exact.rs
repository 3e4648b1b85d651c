//! The engine gives the bits of the trainer's evaluation.

mod common;

use common::{Random, packed, random_graph, random_tensors, reference};
use proptest::prelude::*;
use stompp_graph::{ActivationRule, Conv, Graph, GraphBuilder};
use stompp_infer::{Level, Network};
use stompp_kernels::simd::{self, with_level};

/// The levels that this machine has.
fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_supported())
}

/// The trainer with fused multiplication and addition.
fn fused<R>(f: impl FnOnce() -> R) -> R {
    match simd::Level::Avx2.is_supported() {
        true => with_level(simd::Level::Avx2, f),
        false => f(),
    }
}

fn check(graph: &Graph, rule: ActivationRule, random: &mut Random) {
    let tensors = random_tensors(graph, random);
    let file = packed(graph, rule, &tensors);
    for _ in 0..2 {
        let image: Vec<f32> = (0..graph.input_shape().iter().product()).map(|_| 2.0 * random.float()).collect();
        let expected = fused(|| reference(graph, rule, &tensors, &image));
        for level in levels() {
            let network = Network::from_bytes_at(&file, level).expect("it was just packed");
            let logits = network.logits(&image).expect("lengths fit");
            let same = logits.iter().zip(&expected).all(|(a, b)| a == b);
            assert!(same, "{level}: {logits:?} instead of {expected:?}\n{}", graph.to_toml());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// One unit of a committed network: convolution, batch norm, a shortcut or none, sign. Every bit is the trainer's.
    #[test]
    fn units_have_the_trainers_bits(
        seed in any::<u64>(),
        inputs in 1_usize..140,
        outputs in 1_usize..140,
        size in (1_usize..12, 1_usize..12),
        kernel in prop_oneof![Just(1_usize), Just(2), Just(3), Just(5), Just(9)],
        stride in 1_usize..4,
        padding in 0_usize..4,
        shortcut in 0..3,
    ) {
        let padding = padding.min(kernel - 1);
        prop_assume!(size.0 + 2 * padding >= kernel && size.1 + 2 * padding >= kernel);
        let mut g = GraphBuilder::new([inputs, size.0, size.1]);
        let a = g.activation("act1", g.input()).unwrap();
        let conv = Conv { outputs, kernel, stride, padding };
        let mut x = g.binary_conv("conv", a, conv).unwrap();
        if shortcut != 2 {
            x = g.batch_norm("bn", x).unwrap();
        }
        if shortcut == 1 {
            let s = g.conv("downsample", a, conv).unwrap();
            let s = g.activation("act2", s).unwrap();
            x = g.add("add", x, s).unwrap();
        }
        let x = g.activation("act3", x).unwrap();
        check(&g.finish(x).unwrap(), ActivationRule::Quantized, &mut Random(seed));
    }

    /// Networks of all ops with branches, quantized: logits are equal, not only close.
    #[test]
    fn random_networks_have_the_trainers_logits(seed in any::<u64>()) {
        let mut random = Random(seed);
        let graph = random_graph(&mut random, ActivationRule::Quantized);
        check(&graph, ActivationRule::Quantized, &mut random);
    }

    /// The same with floats between layers (BWN).
    #[test]
    fn networks_with_binary_weights_only_have_the_trainers_logits(seed in any::<u64>()) {
        let mut random = Random(seed);
        let rule = random.pick(&[ActivationRule::Relu, ActivationRule::Clip]);
        let graph = random_graph(&mut random, rule);
        check(&graph, rule, &mut random);
    }
}
