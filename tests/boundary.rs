//! Stopping at the boundary changes no bit: the same steps with the backward pass running all the way.

use dfdx::{
    prelude::Backward,
    shapes::Shape,
    tensor::{Cpu, Tensor},
};
use std::convert::Infallible;
use stompp_binarize::{Binarization, BinaryBackend, Freezable, FreezeState, Freezer, Network, Surrogate};
use stompp_nn::{
    SwitchTape, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, ops,
    optim::{Optimizer, Sgd},
};
use stompp_resnet::Architecture;
use stompp_schedule::{Order, Plan, PlanSpec, RefreshRate};

const STEPS: u64 = 50;

/// Gives committed activations complete masks instead, which sever nothing: their zeros are computed and passed on.
fn keep_everything_on_the_tape<D: BinaryBackend>(net: &mut Network<D>) {
    let mut activations: Vec<_> = net.units().into_iter().filter_map(|unit| unit.activation).collect();
    for activation in &mut activations {
        if *activation.state() == FreezeState::Committed {
            let (full, rest) = (activation.entries() / 64, activation.entries() % 64);
            let mut words = vec![u64::MAX; full];
            words.extend((rest > 0).then(|| (1 << rest) - 1));
            activation.restore(words).expect("a complete mask");
        }
    }
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

/// Writes to every tensor without changing it, so that layers drop what they have derived from it.
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

/// What a training may leave out, and the two tests of it do not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shortcuts {
    /// As in use: nothing upstream of the boundary is on the tape, and committed weights are packed once.
    All,
    /// Committed weights are packed anew at each step.
    PackedEachStep,
    /// Everything is on the tape.
    WholeTape,
}

/// The bits of every tensor after each step. Networks of width 16 take other kernels than those of width 4.
fn train(order: Order, binarization: Binarization, width: usize, shortcuts: Shortcuts) -> Vec<Vec<u32>> {
    train_on(&Cpu::seed_from_u64(0), order, binarization, width, shortcuts)
}

/// The same on a device of one's own, whose generator is at its beginning.
fn train_on<D: BinaryBackend>(
    device: &D,
    order: Order,
    binarization: Binarization,
    width: usize,
    shortcuts: Shortcuts,
) -> Vec<Vec<u32>> {
    let architecture = Architecture::with_stages(vec![1, 1], width, 10, 8).expect("a network");
    let mut net = Network::new(device, &architecture.graph(), binarization, 0).expect("a network");
    let spec = PlanSpec {
        order,
        warm_up: 2,
        tail: 8,
        ..PlanSpec::new(4, STEPS)
    };
    let freezer = Freezer::new(
        Plan::new(spec).expect("a plan"),
        RefreshRate::steps(2.0).expect("a rate"),
        0,
    );
    let mut optimizer = Sgd::new(0.1, 0.9);
    (0..STEPS)
        .map(|step| {
            freezer.apply(step, &mut net);
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
            let mut gradients = SwitchTape::unswitch(loss).expect("a recorded loss").backward();
            optimizer.step(device, &mut net, &mut gradients).expect("a step");
            let mut bits = Bits::default();
            let Ok(()) = net.visit("", &mut bits);
            bits.0
        })
        .collect()
}

#[test]
fn the_boundary_changes_no_bit() {
    for (order, width) in Order::ALL.into_iter().flat_map(|order| [(order, 4), (order, 16)]) {
        let train = |shortcuts| train(order, Binarization::BNN, width, shortcuts);
        let all = train(Shortcuts::All);
        for other in [Shortcuts::PackedEachStep, Shortcuts::WholeTape] {
            for (step, (all, other_bits)) in all.iter().zip(&train(other)).enumerate() {
                assert!(
                    all == other_bits,
                    "{order}, width {width}, {other:?}: parameters differ after step {step}"
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
    use stompp_nn::cuda::{Settings, open};
    let train = |shortcuts| {
        // Sums of 1 and -1 are exact by every algorithm that does not transform: the whole tape multiplies what others count.
        let strict = Settings {
            tf32: false,
            ..Settings::default()
        };
        let device = open(strict).expect("a GPU");
        train_on(&device, Order::Forward, Binarization::BNN, 4, shortcuts)
    };
    let all = train(Shortcuts::All);
    for other in [Shortcuts::PackedEachStep, Shortcuts::WholeTape] {
        for (step, (all, other_bits)) in all.iter().zip(&train(other)).enumerate() {
            assert!(all == other_bits, "{other:?}: parameters differ after step {step}");
        }
    }
    assert_eq!(all, train(Shortcuts::All), "the same again");
}

/// The comparison can fail: another order freezes other entries.
#[test]
fn another_plan_changes_bits() {
    let forward = train(Order::Forward, Binarization::BNN, 4, Shortcuts::All);
    let reverse = train(Order::Reverse, Binarization::BNN, 4, Shortcuts::All);
    assert_eq!(forward[2], reverse[2], "nothing has frozen yet");
    assert_ne!(forward[STEPS as usize - 1], reverse[STEPS as usize - 1]);
}

/// Twenty steps through the first commits: the same parameters, so the same losses, whatever the threads.
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
            pool.install(|| train(Order::Forward, binarization, 16, Shortcuts::All))
        });
        for (step, (one, two)) in one.iter().zip(&two).take(20).enumerate() {
            assert!(one == two, "{binarization:?}: parameters differ after step {step}");
        }
    }
}
