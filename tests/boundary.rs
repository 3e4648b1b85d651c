//! Stopping the backward pass at the boundary changes no bit: the results equal those of a full backward pass.

use dfdx::{
    prelude::Backward,
    shapes::Shape,
    tensor::{Cpu, Tensor},
};
use std::convert::Infallible;
use stompp_binarize::{
    Binarization, BinaryBackend, Freezable, FreezeState, Freezer, MaskedQuantizer, Network, Surrogate,
};
use stompp_examples::vgg_small;
use stompp_graph::Graph;
use stompp_nn::{
    SwitchTape, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, ops,
    optim::{Optimizer, Sgd},
};
use stompp_resnet::Architecture;
use stompp_schedule::{Order, Plan, PlanSpec, RefreshRate};

const STEPS: u64 = 50;

/// Replaces committed activations by complete masks, which do not block the gradient: their zero gradients are computed and passed on.
fn keep_everything_on_the_tape<D: BinaryBackend>(net: &mut Network<D>) {
    let unblock = |activation: &mut MaskedQuantizer| {
        if *activation.state() == FreezeState::Committed {
            let (full, rest) = (activation.entries() / 64, activation.entries() % 64);
            let mut words = vec![u64::MAX; full];
            words.extend((rest > 0).then(|| (1 << rest) - 1));
            activation.restore(words).expect("a complete mask");
        }
    };
    net.units()
        .into_iter()
        .filter_map(|unit| unit.activation)
        .for_each(unblock);
    net.head_activations().into_iter().for_each(unblock);
}

#[derive(Default)]
struct Bits(Vec<u32>);

impl<D: BinaryBackend> Visitor<D> for Bits {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(&mut self, _: &str, _: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), Infallible> {
        self.0.extend(tensor.as_vec().iter().map(|value| value.to_bits()));
        Ok(())
    }
}

/// Borrows every tensor mutably without changing it, so that layers drop the packed weights derived from it.
struct DropPacked;

impl<D: BinaryBackend> VisitorMut<D> for DropPacked {
    type Error = Infallible;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        _: &str,
        _: TensorKind,
        mut tensor: TensorMut<'_, S, D>,
    ) -> Result<(), Infallible> {
        let _: &mut Tensor<S, f32, D> = &mut tensor;
        Ok(())
    }
}

/// The optimizations of a training to use. The tests compare `All` with the others.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shortcuts {
    /// Normal training: nothing upstream of the boundary is on the tape, and committed weights are packed once.
    All,
    /// Committed weights are packed anew at each step.
    PackedEachStep,
    /// Everything is on the tape.
    WholeTape,
}

/// A ResNet of two blocks. Networks of width 16 use other kernels than those of width 4.
fn resnet(width: usize) -> Graph {
    let architecture = Architecture::with_stages(vec![1, 1], width, 10, 8);
    architecture.expect("a network").graph()
}

/// Networks of all kinds: with shortcuts around blocks, around every convolution, and without shortcuts.
fn networks() -> [(&'static str, Graph); 4] {
    let bireal = Architecture::new("bireal8".parse().expect("a name"), Some(4), 10, 8);
    [
        ("ResNet, width 4", resnet(4)),
        ("ResNet, width 16", resnet(16)),
        ("Bi-Real", bireal.expect("a network").graph()),
        ("VGG-small", vgg_small(8, 4, 10).expect("a network")),
    ]
}

/// Trains on the CPU. Returns the bits of every tensor after each step.
fn train(graph: &Graph, order: Order, binarization: Binarization, shortcuts: Shortcuts) -> Vec<Vec<u32>> {
    train_on(&Cpu::seed_from_u64(0), graph, order, binarization, shortcuts)
}

/// Like [`train`], on a given device with a newly seeded generator.
fn train_on<D: BinaryBackend>(
    device: &D,
    graph: &Graph,
    order: Order,
    binarization: Binarization,
    shortcuts: Shortcuts,
) -> Vec<Vec<u32>> {
    let mut net = Network::new(device, graph, binarization, 0).expect("a network");
    let spec = PlanSpec {
        order,
        warm_up: 2,
        tail: 8,
        ..PlanSpec::new(graph.units().len(), STEPS)
    };
    let freezer = Freezer::new(
        Plan::new(spec).expect("a plan"),
        RefreshRate::from_steps(2.0).expect("a rate"),
        0,
    );
    let mut optimizer = Sgd::new(0.1, 0.9);
    (0..STEPS)
        .map(|step| {
            freezer.apply(step, &mut net).expect("masks");
            match shortcuts {
                Shortcuts::All => {}
                Shortcuts::PackedEachStep => {
                    let Ok(()) = net.visit_mut("", &mut DropPacked);
                }
                Shortcuts::WholeTape => keep_everything_on_the_tape(&mut net),
            }
            let images = device.sample_normal_like(&(4, 3, 8, 8));
            let logits = net.forward_train(images).expect("a forward pass");
            let loss = ops::cross_entropy(logits, &[0, 1, 2, 3]).expect("a loss");
            let mut gradients = SwitchTape::into_owned_tape(loss).expect("a recorded loss").backward();
            optimizer.step(device, &mut net, &mut gradients).expect("a step");
            let mut bits = Bits::default();
            let Ok(()) = net.visit("", &mut bits);
            bits.0
        })
        .collect()
}

#[test]
fn the_boundary_changes_no_bit() {
    let cases = networks()
        .into_iter()
        .flat_map(|network| Order::ALL.map(|order| (network.clone(), order)));
    for ((name, graph), order) in cases {
        let train = |shortcuts| train(&graph, order, Binarization::BNN, shortcuts);
        let all = train(Shortcuts::All);
        for other in [Shortcuts::PackedEachStep, Shortcuts::WholeTape] {
            for (step, (all, other_bits)) in all.iter().zip(&train(other)).enumerate() {
                assert!(
                    all == other_bits,
                    "{name}, {order}, {other:?}: parameters differ after step {step}"
                );
            }
        }
        assert_ne!(all[0], all[STEPS as usize - 1], "something was learned");
    }
}

#[cfg(feature = "cuda")]
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_the_boundary_changes_no_bit() {
    use stompp_nn::cuda::{GpuSettings, open};
    let train = |shortcuts| {
        // Convolutions multiply on the whole tape, and otherwise count bits. Without TF32, no algorithm transforms (FFT, Winograd), so
        // both sums of 1 and -1 are exact.
        let strict = GpuSettings {
            tf32: false,
            ..GpuSettings::default()
        };
        let device = open(strict).expect("a GPU");
        train_on(&device, &resnet(4), Order::Forward, Binarization::BNN, shortcuts)
    };
    let all = train(Shortcuts::All);
    for other in [Shortcuts::PackedEachStep, Shortcuts::WholeTape] {
        for (step, (all, other_bits)) in all.iter().zip(&train(other)).enumerate() {
            assert!(all == other_bits, "{other:?}: parameters differ after step {step}");
        }
    }
    assert_eq!(all, train(Shortcuts::All), "the same again");
}

/// Negative control: another order freezes other entries.
#[test]
fn another_plan_changes_bits() {
    let forward = train(&resnet(4), Order::Forward, Binarization::BNN, Shortcuts::All);
    let reverse = train(&resnet(4), Order::Reverse, Binarization::BNN, Shortcuts::All);
    assert_eq!(forward[2], reverse[2], "nothing has frozen yet");
    assert_ne!(forward[STEPS as usize - 1], reverse[STEPS as usize - 1]);
}

/// The parameters are the same for any number of threads, in twenty steps with the first commits.
#[test]
fn the_number_of_threads_changes_no_bit() {
    for binarization in [
        Binarization::BNN,
        Binarization::BWN,
        Binarization {
            activation_surrogate: Surrogate::Clipped,
            weight_surrogate: Surrogate::Identity,
            ..Binarization::BNN
        },
    ] {
        let [one, two] = [1, 2].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool");
            pool.install(|| train(&resnet(16), Order::Forward, binarization, Shortcuts::All))
        });
        for (step, (one, two)) in one.iter().zip(&two).take(20).enumerate() {
            assert!(one == two, "{binarization:?}: parameters differ after step {step}");
        }
    }
}
