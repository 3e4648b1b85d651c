//! Random small graphs with branches: skipped gradients and fused ops change no bit.

use dfdx::prelude::*;
use proptest::prelude::*;
use std::convert::Infallible;
use stompp_binarize::{Binarization, Freezable, FreezeState, MaskedQuantizer, Network, Surrogate};
use stompp_graph::{Conv, Graph, GraphBuilder, NodeId, Pool};
use stompp_nn::{SwitchTape, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, ops};
use stompp_rng::{Purpose, stream};

/// A node: its op, the two nodes that it reads, and a size.
type Choice = (u8, u16, u16, u8);

/// The images' shape: odd, so that strides round.
const SHAPE: [usize; 3] = [3, 7, 6];

/// A graph of these choices. A choice that does not fit is left out. Each unread node gets a head, and heads are added up.
///
/// `apart` puts a pool of 1x1 windows, which changes nothing, behind each batch norm and sum, so that nothing can be fused.
fn graph(choices: &[Choice], apart: bool) -> Graph {
    let mut g = GraphBuilder::new(SHAPE);
    let separate = |g: &mut GraphBuilder, id: NodeId, number: usize| {
        if apart {
            g.max_pool(&format!("apart{number}"), id, Pool::new(1)).unwrap()
        } else {
            id
        }
    };
    // Each node, and whether another one reads it.
    let mut nodes = vec![(g.conv("stem", g.input(), Conv::k3(4)).unwrap(), false)];
    for (number, &(op, first, second, size)) in choices.iter().enumerate() {
        let pick = |at: u16| nodes.len() - 1 - usize::from(at) % nodes.len().min(3);
        let (first, second) = (pick(first), pick(second));
        let (x, y) = (nodes[first].0, nodes[second].0);
        let name = format!("n{number}");
        let conv = Conv::new(4, 1 + 2 * usize::from(size % 2)).with_stride(1 + usize::from(size) / 2 % 2);
        let node = match op % 12 {
            0 | 1 => g.binary_conv(&name, x, conv),
            2 => g.conv(&name, x, conv),
            3 | 4 => g.batch_norm(&name, x).map(|id| separate(&mut g, id, number)),
            5..=7 => g.activation(&name, x),
            8 | 9 => g.add(&name, x, y).map(|id| separate(&mut g, id, number)),
            10 => g.max_pool(&name, x, Pool::new(2)),
            _ => g.average_pool(&name, x, Pool::new(2)),
        };
        if let Ok(node) = node {
            nodes[first].1 = true;
            nodes[second].1 |= matches!(op % 12, 8 | 9);
            nodes.push((node, false));
        }
    }
    let mut logits = None;
    for (number, (id, _)) in nodes.iter().enumerate().filter(|(_, (_, read))| !read) {
        let x = g.global_average_pool(&format!("pool{number}"), *id).unwrap();
        let head = g.linear(&format!("fc{number}"), x, 3).unwrap();
        logits = Some(match logits {
            Some(others) => g.add(&format!("sum{number}"), others, head).unwrap(),
            None => head,
        });
    }
    g.finish(logits.expect("nobody reads the last node")).unwrap()
}

#[derive(Default)]
struct Bits(Vec<(String, Vec<u32>)>);

impl Visitor<Cpu> for Bits {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        _: TensorKind,
        tensor: &Tensor<S, f32, Cpu>,
    ) -> Result<(), Infallible> {
        let bits = tensor.as_vec().iter().map(|value| value.to_bits()).collect();
        self.0.push((name.to_owned(), bits));
        Ok(())
    }
}

/// Moves every parameter a little against its gradient.
struct Descend<'a>(&'a mut Gradients<f32, Cpu>);

impl VisitorMut<Cpu> for Descend<'_> {
    type Error = CpuError;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        _: &str,
        kind: TensorKind,
        mut tensor: TensorMut<'_, S, Cpu>,
    ) -> Result<(), CpuError> {
        if matches!(kind, TensorKind::Parameter { learning: true, .. }) {
            let gradient = self.0.get_or_alloc_mut(&*tensor)?.clone();
            let values = tensor.as_vec();
            let moved: Vec<f32> = values.iter().zip(gradient.iter()).map(|(w, g)| w - 0.05 * g).collect();
            tensor.copy_from(&moved);
        }
        Ok(())
    }
}

/// Freezes quantizer number `number` at `step` in a way that depends on both: open, partly, or committed from some step on.
fn freeze(quantizer: &mut MaskedQuantizer, number: u64, step: u64, seed: u64) {
    match (number + seed) % 4 {
        0 => {}
        1 if step == 0 => quantizer.commit(),
        1 => {}
        2 => {
            let mut rng = stream(seed, Purpose::WEIGHT_MASK, number, step);
            quantizer.refresh(0.5, 2.0, &mut rng).unwrap();
        }
        _ if step == 1 => quantizer.commit(),
        _ => {}
    }
}

/// Replaces committed activations by freezing ones with complete masks. These do not block: their zero gradients are computed.
fn unblock(quantizer: &mut MaskedQuantizer) {
    if *quantizer.state() == FreezeState::Committed {
        let (full, rest) = (quantizer.entries() / 64, quantizer.entries() % 64);
        let mut words = vec![u64::MAX; full];
        words.extend((rest > 0).then(|| (1 << rest) - 1));
        quantizer.restore(words).unwrap();
    }
}

/// Every tensor, and the logits, after each of four steps.
fn train(graph: &Graph, binarization: Binarization, seed: u64, whole_tape: bool) -> Vec<(String, Vec<u32>)> {
    let device = Cpu::seed_from_u64(seed);
    let mut network = Network::new(&device, graph, binarization, seed).unwrap();
    let mut told = Bits::default();
    for step in 0..4 {
        let mut quantizers: Vec<_> = Vec::new();
        let mut activations = Vec::new();
        for unit in network.units() {
            quantizers.push(unit.weight);
            activations.extend(unit.activation);
        }
        for (number, quantizer) in quantizers.into_iter().enumerate() {
            freeze(quantizer, number as u64, step, seed);
        }
        for (number, quantizer) in activations.into_iter().enumerate() {
            freeze(quantizer, 100 + number as u64, step, seed / 4);
            if whole_tape {
                unblock(quantizer);
            }
        }
        for (number, quantizer) in network.head_activations().into_iter().enumerate() {
            freeze(quantizer, 200 + number as u64, step, seed / 16);
            if whole_tape {
                unblock(quantizer);
            }
        }
        let [channels, height, width] = SHAPE;
        let images = device.sample_normal_like(&(3, channels, height, width));
        let logits = network.forward_train(images).unwrap();
        let values = logits.as_vec().iter().map(|value| value.to_bits()).collect();
        told.0.push(("logits".to_owned(), values));
        let loss = ops::cross_entropy(logits, &[0, 1, 2]).unwrap();
        let mut gradients = SwitchTape::into_owned_tape(loss).unwrap().backward();
        network.visit_mut("", &mut Descend(&mut gradients)).unwrap();
        let Ok(()) = network.visit("", &mut told);
    }
    told.0
}

fn binarization(rule: u8) -> Binarization {
    match rule % 4 {
        0 | 1 => Binarization::BNN,
        2 => Binarization::BWN,
        _ => Binarization {
            activation_surrogate: Surrogate::Clipped,
            weight_surrogate: Surrogate::Identity,
            ..Binarization::BNN
        },
    }
}

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(any::<Choice>(), 4..14)
}

/// A conv, a batch norm and an activation by turns, with something random now and then, so that patterns to fuse are frequent.
fn chains() -> impl Strategy<Value = Vec<Choice>> {
    let one = (any::<Choice>(), any::<Choice>(), 0_u8..4).prop_map(|(node, extra, how)| {
        let size = node.3;
        let mut choices = vec![(how % 3, 0, 0, size), (3, 0, 0, 0), (5, 0, 0, 0)];
        match how {
            0 => choices.insert(2, (8, 0, node.2, 0)),
            1 => choices.push(extra),
            _ => {}
        }
        choices
    });
    proptest::collection::vec(one, 1..5).prop_map(|chains| chains.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_boundary_changes_no_bit(choices in prop_oneof![choices(), chains()], rule in any::<u8>(), seed in any::<u64>()) {
        let graph = graph(&choices, false);
        let short = train(&graph, binarization(rule), seed, false);
        let long = train(&graph, binarization(rule), seed, true);
        prop_assert_eq!(short.len(), long.len());
        for (short, long) in short.iter().zip(&long) {
            prop_assert!(short == long, "{} differs", short.0);
        }
    }

    #[test]
    fn fusing_changes_no_bit(choices in chains(), rule in any::<u8>(), seed in any::<u64>()) {
        let fused = train(&graph(&choices, false), binarization(rule), seed, false);
        let apart = train(&graph(&choices, true), binarization(rule), seed, false);
        prop_assert_eq!(fused.len(), apart.len());
        for (fused, apart) in fused.iter().zip(&apart) {
            prop_assert!(fused == apart, "{} differs", fused.0);
        }
    }
}

/// Negative control: other weights give other bits.
#[test]
fn another_seed_changes_bits() {
    let graph = graph(&[(0, 0, 0, 1), (3, 0, 0, 0), (5, 0, 0, 0)], false);
    assert_ne!(
        train(&graph, Binarization::BNN, 4, false),
        train(&graph, Binarization::BNN, 8, false)
    );
}
