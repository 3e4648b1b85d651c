//! The results of the engine are bitwise equal to the trainer's evaluation.

mod common;

use common::{Random, packed, random_graph, random_tensors, reference};
use proptest::prelude::*;
use stompp_graph::{ActivationRule, Conv, Graph, GraphBuilder, Pool};
use stompp_infer::{Network, SimdLevel};
use stompp_kernels::simd::{self, with_level};
use stompp_resnet::{Architecture, Model};

/// The levels that this machine supports.
fn levels() -> impl Iterator<Item = SimdLevel> {
    SimdLevel::ALL.into_iter().filter(|level| level.is_supported())
}

/// The trainer with fused multiply-add.
fn fused<R>(f: impl FnOnce() -> R) -> R {
    match simd::SimdLevel::Avx2.is_supported() {
        true => with_level(simd::SimdLevel::Avx2, f),
        false => f(),
    }
}

fn check(graph: &Graph, rule: ActivationRule, random: &mut Random) {
    let tensors = random_tensors(graph, random);
    let file = packed(graph, rule, &tensors);
    for _ in 0..2 {
        let image: Vec<f32> = (0..graph.input_shape().iter().product())
            .map(|_| 2.0 * random.float())
            .collect();
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

    /// One unit of a committed network: convolution, batch norm, optional shortcut, sign. Every bit equals the trainer's.
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

    /// Quantized networks with all ops and branches: logits are exactly equal.
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

/// The logits of engine and trainer for one image.
fn logits(graph: &Graph, rule: ActivationRule, random: &mut Random, level: SimdLevel) -> [Vec<f32>; 2] {
    let tensors = random_tensors(graph, random);
    let file = packed(graph, rule, &tensors);
    let image: Vec<f32> = (0..graph.input_shape().iter().product())
        .map(|_| 2.0 * random.float())
        .collect();
    let network = Network::from_bytes_at(&file, level).expect("it was just packed");
    let expected = fused(|| reference(graph, rule, &tensors, &image));
    [network.logits(&image).expect("lengths fit"), expected]
}

/// For the models of `stompp-resnet`, every logit is bitwise equal to the trainer's.
#[test]
fn residual_networks_have_the_trainers_logits() {
    let models = [
        ("resnet8", 16, 15),
        ("resnet20", 16, 32),
        ("bireal20", 16, 16),
        ("resnet18", 20, 32),
        ("resnet50", 8, 16),
        ("resnet18", 12, 72),
        ("bireal18", 12, 72),
    ];
    for level in levels() {
        for (name, width, size) in models {
            let graph = Architecture::new(name.parse::<Model>().unwrap(), Some(width), 10, size)
                .unwrap()
                .graph();
            let [logits, expected] = logits(&graph, ActivationRule::Quantized, &mut Random(11), level);
            assert_eq!(logits, expected, "{name} {level}");
        }
    }
}

/// Where an activation follows a maximum pool, the pool works on signs. Every combination of other readers of its input is right, too.
#[test]
fn maximum_pools_before_activations_have_the_trainers_logits() {
    for readers in 0..32 {
        let mut g = GraphBuilder::new([3, 9, 8]);
        let x = g.conv("conv", g.input(), Conv::k3(17)).unwrap();
        let x = g.batch_norm("bn", x).unwrap();
        let pool = Pool::new(3).with_stride(2).with_padding(1);
        let pooled = g.max_pool("pool", x, pool).unwrap();
        let mut values = vec![g.activation("act", pooled).unwrap()];
        if readers & 1 != 0 {
            values.push(g.activation("of_sum", x).unwrap());
        }
        if readers & 2 != 0 {
            values.push(g.activation("again", x).unwrap());
        }
        if readers & 4 != 0 {
            values.push(pooled);
        }
        if readers & 8 != 0 {
            let twice = g.max_pool("pool2", pooled, pool).unwrap();
            values.push(g.activation("of_twice", twice).unwrap());
        }
        if readers & 16 != 0 {
            values.push(g.average_pool("average", x, Pool::new(2)).unwrap());
        }
        let mut logits = g.linear("linear0", values[0], 5).unwrap();
        for (number, value) in values.into_iter().enumerate().skip(1) {
            let of_value = g.linear(&format!("linear{number}"), value, 5).unwrap();
            logits = g.add(&format!("add{number}"), logits, of_value).unwrap();
        }
        check(
            &g.finish(logits).unwrap(),
            ActivationRule::Quantized,
            &mut Random(readers),
        );
    }
}

/// With float activations the trainer uses Winograd's method, so the last bits of the sums differ.
#[test]
fn networks_with_binary_weights_only_are_close_where_the_trainer_rounds_otherwise() {
    let graph = Architecture::new(Model::Cifar { blocks: 1 }, Some(16), 10, 16)
        .unwrap()
        .graph();
    for level in levels() {
        let [logits, expected] = logits(&graph, ActivationRule::Relu, &mut Random(5), level);
        let largest = expected.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        for (a, b) in logits.iter().zip(&expected) {
            assert!(
                (a - b).abs() <= 1e-4 * largest.max(1.0),
                "{level}: {logits:?} {expected:?}"
            );
        }
    }
}

/// Signs can differ only after a float convolution that the trainer computes with Winograd's method. Few differ there, and none differ if
/// the trainer sums directly.
#[test]
fn signs_behind_winograd_convolutions_differ_at_near_ties_only() {
    let differing = |stride: usize| {
        let mut g = GraphBuilder::new([32, 16, 16]);
        let x = g.conv("conv", g.input(), Conv::k3(32).with_stride(stride)).unwrap();
        let x = g.activation("act", x).unwrap();
        let graph = g.finish(x).unwrap();
        let mut differing = [0, 0];
        for seed in 0..20 {
            let [signs, expected] = logits(
                &graph,
                ActivationRule::Quantized,
                &mut Random(seed),
                SimdLevel::detect(),
            );
            differing[0] += signs.iter().zip(&expected).filter(|(a, b)| a != b).count();
            differing[1] += signs.len();
        }
        println!("stride {stride}: {} of {} signs differ", differing[0], differing[1]);
        differing
    };
    let [wrong, all] = differing(1);
    assert!(wrong * 10_000 < all, "{wrong} of {all}");
    assert_eq!(differing(2)[0], 0);
}

/// The comparison detects a single wrong weight or threshold.
#[test]
fn a_wrong_bit_would_be_noticed() {
    let mut g = GraphBuilder::new([5, 9, 9]);
    let a = g.activation("act1", g.input()).unwrap();
    let x = g.binary_conv("conv", a, Conv::new(3, 1)).unwrap();
    let x = g.batch_norm("bn", x).unwrap();
    let x = g.activation("act2", x).unwrap();
    let graph = g.finish(x).unwrap();
    let mut random = Random(4);
    let mut tensors = random_tensors(&graph, &mut random);
    tensors.insert("bn.weight".to_owned(), vec![1.0, -1.0, 0.5]);
    tensors.insert("bn.running_mean".to_owned(), vec![0.0; 3]);
    tensors.insert("bn.bias".to_owned(), vec![0.0; 3]);
    let image: Vec<f32> = (0..5 * 81).map(|_| random.float()).collect();
    let run = |tensors: &common::Tensors| {
        let file = packed(&graph, ActivationRule::Quantized, tensors);
        Network::from_bytes(&file).unwrap().logits(&image).unwrap()
    };
    let right = run(&tensors);
    assert_eq!(
        right,
        fused(|| reference(&graph, ActivationRule::Quantized, &tensors, &image))
    );
    let changed = |name: &str, at: usize, value: f32| {
        let mut tensors = tensors.clone();
        tensors.get_mut(name).unwrap()[at] = value;
        run(&tensors)
    };
    assert_ne!(changed("conv.weight", 7, -tensors["conv.weight"][7]), right);
    // Sums of five signs are odd: a threshold of 1 becomes one of 3.
    assert_ne!(changed("bn.running_mean", 0, 2.0), right);
    assert_ne!(changed("bn.running_mean", 1, -2.0), right);
}
