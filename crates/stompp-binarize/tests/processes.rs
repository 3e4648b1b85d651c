//! Several processes that share a batch train to the bits of one process. Threads stand for processes.

use dfdx::tensor::{AsArray, Cpu, PutTape, SplitTape, TensorFromVec};
use dfdx::tensor_ops::Backward;
use std::{ops::Range, sync::Arc, thread};
use stompp_binarize::{Binarization, Freezer, Network};
use stompp_graph::Graph;
use stompp_kernels::Slices;
use stompp_nn::{
    BatchReduction, SwitchTape, TensorKind, VisitTensors, Visitor, ops,
    optim::{Optimizer, Sgd},
};
use stompp_parallel::{Collective, LocalGroup, Reduction};

const IMAGES: usize = 12;
const SIDE: usize = 8;
const CLASSES: usize = 10;
const STEPS: u64 = 6;
/// Steps of the plan for each step of the training.
const STRIDE: u64 = 6;

fn graph(model: &str) -> Graph {
    use stompp_resnet::{Architecture, Model};
    let model: Model = model.parse().unwrap();
    Architecture::new(model, Some(16), CLASSES, SIDE).unwrap().graph()
}

/// The same values in every process.
fn images(step: u64) -> Vec<f32> {
    let value = |i: usize| ((i as u64 * 7919 + step * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    (0..IMAGES * 3 * SIDE * SIDE).map(value).collect()
}

/// The bits of every tensor, with its name.
struct Bits(Vec<(String, Vec<u32>)>);

impl Visitor<Cpu> for Bits {
    type Error = std::convert::Infallible;

    fn visit_tensor<S: dfdx::shapes::Shape>(
        &mut self,
        name: &str,
        _: TensorKind,
        tensor: &dfdx::tensor::Tensor<S, f32, Cpu>,
    ) -> Result<(), Self::Error> {
        self.0.push((
            name.to_owned(),
            tensor.as_vec().iter().map(|value| value.to_bits()).collect(),
        ));
        Ok(())
    }
}

/// The result of a training: losses, and all tensors of the network.
type Trained = (Vec<u32>, Vec<(String, Vec<u32>)>);

/// Trains a network on the images `part` of each batch, while its units freeze.
fn train(graph: &Graph, binarization: Binarization, reduction: &BatchReduction, part: &Range<usize>) -> Trained {
    let device = stompp_nn::cpu();
    let mut network = Network::new(&device, graph, binarization, 3).unwrap();
    network.set_reduction(reduction.clone());
    let freezer = Freezer::for_network(&mut network, STEPS * STRIDE, "0.2w".parse().unwrap()).unwrap();
    let mut sgd = Sgd::new(0.1, 0.9);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        // The last steps have committed units.
        freezer.apply(step * STRIDE, &mut network).unwrap();
        let len = 3 * SIDE * SIDE;
        let part_of = images(step)[part.start * len..part.end * len].to_vec();
        let labels: Vec<usize> = part
            .clone()
            .map(|image| (image * 3 + step as usize) % CLASSES)
            .collect();
        let x = device.tensor_from_vec(part_of, (part.len(), 3, SIDE, SIDE));
        let (logits, tape) = network.forward_train(x).unwrap().split_tape();
        let loss = ops::cross_entropy(logits.put_tape(tape), &labels).unwrap();
        let loss = SwitchTape::into_owned_tape(loss).unwrap();
        losses.push(loss.array().to_bits());
        let mut gradients = loss.try_backward().unwrap();
        network.complete_gradients(&mut gradients).unwrap();
        network.reduction().check().unwrap();
        sgd.step(&device, &mut network, &mut gradients).unwrap();
    }
    let mut bits = Bits(Vec::new());
    let Ok(()) = network.visit("", &mut bits);
    (losses, bits.0)
}

/// Trains in a group of threads. Returns the result of each.
fn train_in_group(size: usize, slices: usize, graph: &Graph, binarization: Binarization, local: bool) -> Vec<Trained> {
    let of_process = Slices::new(slices).unwrap().of_part(size).unwrap();
    let parts = Slices::new(size).unwrap().ranges(IMAGES);
    let members = LocalGroup::members(size, Reduction::Exact).unwrap();
    thread::scope(|threads| {
        let one = |member: LocalGroup| {
            let part = &parts[member.rank()];
            let reduction = BatchReduction::shared(Arc::new(member), of_process, IMAGES, local);
            train(graph, binarization, &reduction, part)
        };
        let running: Vec<_> = members
            .into_iter()
            .map(|member| threads.spawn(move || one(member)))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn settings() -> [Binarization; 3] {
    use stompp_kernels::Surrogate;
    [
        Binarization::BNN,
        Binarization::BWN,
        Binarization {
            activation_surrogate: Surrogate::Clipped,
            ..Binarization::BNN
        },
    ]
}

#[test]
fn any_number_of_processes_trains_to_the_bits_of_one() {
    const SLICES: usize = 4;
    for (model, binarization) in ["resnet8", "bireal8", "resnet18"].into_iter().zip(settings()) {
        let graph = graph(model);
        let alone = BatchReduction::alone(Slices::new(SLICES).unwrap());
        let expected = train(&graph, binarization, &alone, &(0..IMAGES));
        for size in [1, 2, 4] {
            for result in train_in_group(size, SLICES, &graph, binarization, false) {
                assert_eq!(result.0, expected.0, "losses of {size} processes, {model}");
                for ((name, bits), (_, expected)) in result.1.iter().zip(&expected.1) {
                    assert_eq!(bits, expected, "{name} of {size} processes, {model}");
                }
            }
        }
        let plain = train(&graph, binarization, &BatchReduction::default(), &(0..IMAGES));
        assert_ne!(plain.1, expected.1, "slices change the order of sums");
    }
}

#[test]
fn local_batch_norm_is_another_network_that_is_the_same_in_every_process() {
    let graph = graph("resnet8");
    let results = train_in_group(2, 2, &graph, Binarization::BNN, true);
    let statistics = |(name, _): &&(String, Vec<u32>)| name.contains("running_");
    let parameters = |result: &Trained| {
        result
            .1
            .iter()
            .filter(|tensor| !statistics(tensor))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        parameters(&results[0]),
        parameters(&results[1]),
        "the gradients are sums over both"
    );
    assert_ne!(
        results[0].1, results[1].1,
        "the running statistics are each process's own"
    );
    let whole = train_in_group(2, 2, &graph, Binarization::BNN, false);
    assert_ne!(parameters(&results[0]), parameters(&whole[0]));
}
