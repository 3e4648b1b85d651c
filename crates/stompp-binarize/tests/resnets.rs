//! Networks as built: torchvision's parameter counts and names, the summary against the tensors, the boundary.

use dfdx::prelude::*;
use std::{collections::BTreeMap, convert::Infallible};
use stompp_binarize::{ActivationRule, Binarization, EvalMode, Freezable, Freezer, Network};
use stompp_graph::CostSummary;
use stompp_nn::{SwitchTape, TensorKind, VisitTensors, Visitor, ops};
use stompp_resnet::Architecture;
use stompp_schedule::{Plan, PlanSpec, RefreshRate};

/// Sizes of all tensors, by name.
#[derive(Default)]
struct Sizes {
    parameters: BTreeMap<String, usize>,
    statistics: BTreeMap<String, usize>,
    bounded: usize,
}

impl Visitor<Cpu> for Sizes {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, Cpu>,
    ) -> Result<(), Infallible> {
        let group = if kind == TensorKind::Statistic {
            &mut self.statistics
        } else {
            &mut self.parameters
        };
        assert!(
            group.insert(name.to_owned(), tensor.shape().num_elements()).is_none(),
            "{name} twice"
        );
        if matches!(kind, TensorKind::Parameter { bound: Some(_), .. }) {
            self.bounded += tensor.shape().num_elements();
        }
        Ok(())
    }
}

fn architecture(model: &str, width: Option<usize>, classes: usize, image_size: usize) -> Architecture {
    Architecture::new(model.parse().unwrap(), width, classes, image_size).unwrap()
}

fn sizes(architecture: &Architecture) -> Sizes {
    let net = Network::new(&Cpu::default(), &architecture.graph(), Binarization::BNN, 0).unwrap();
    let mut sizes = Sizes::default();
    net.visit("", &mut sizes).unwrap();
    sizes
}

/// `sum(p.numel() for p in torchvision.models.resnet18().parameters())` and so on; the CIFAR family's count is that of He et
/// al.'s ResNet-20, 269,722, plus two 1x1 shortcuts with batch norm.
#[test]
fn parameter_counts_are_torchvisions() {
    for (model, classes, image_size, count) in [
        ("resnet18", 1000, 224, 11_689_512),
        ("resnet34", 1000, 224, 21_797_672),
        ("resnet50", 1000, 224, 25_557_032),
        ("resnet20", 10, 32, 269_722 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)),
    ] {
        let sizes = sizes(&architecture(model, None, classes, image_size));
        assert_eq!(sizes.parameters.values().sum::<usize>(), count, "{model}");
    }
}

#[test]
fn names_are_torchvisions() {
    let sizes = sizes(&architecture("resnet50", Some(4), 10, 32));
    for name in [
        "conv1.weight",
        "bn1.bias",
        "layer1.0.conv3.weight",
        "layer1.0.downsample.0.weight",
        "fc.bias",
    ] {
        assert!(sizes.parameters.contains_key(name), "{name}");
    }
    for name in [
        "bn1.running_mean",
        "layer1.0.downsample.1.running_var",
        "layer4.2.bn3.running_var",
    ] {
        assert!(sizes.statistics.contains_key(name), "{name}");
    }
    assert!(!sizes.parameters.contains_key("layer1.1.downsample.0.weight"));
}

#[test]
fn the_summary_counts_what_the_network_holds() {
    for (model, width, image_size) in [
        ("resnet8", 4, 16),
        ("resnet18", 8, 32),
        ("resnet50", 8, 224),
        ("resnet34", 3, 33),
    ] {
        let architecture = architecture(model, Some(width), 7, image_size);
        let (sizes, summary) = (
            sizes(&architecture),
            CostSummary::new(&architecture.graph(), ActivationRule::Quantized),
        );
        let total = summary.total();
        assert_eq!(total.binary_weights, sizes.bounded, "{model}");
        let all: usize = sizes.parameters.values().chain(sizes.statistics.values()).sum();
        assert_eq!(total.binary_weights + total.float_weights, all, "{model}");
        for layer in &summary.layers {
            let prefix = format!("{}.", layer.name);
            let held: usize = sizes
                .parameters
                .iter()
                .chain(&sizes.statistics)
                .filter(|(name, _)| name.rsplit_once('.').unwrap().0 == layer.name && name.starts_with(&prefix))
                .map(|(_, n)| n)
                .sum();
            assert_eq!(
                layer.binary_weights + layer.float_weights,
                held,
                "{model} {}",
                layer.name
            );
        }
    }
}

/// ResNet-18's 1.814 GMACs at 224 are the usual figure (fvcore, torchinfo) without batch norms.
#[test]
fn macs_are_the_usual_figure() {
    let total = CostSummary::new(
        &architecture("resnet18", None, 1000, 224).graph(),
        ActivationRule::Quantized,
    )
    .total();
    assert_eq!(total.binary_macs + total.float_macs, 1_814_073_344);
    let bwn = CostSummary::new(&architecture("resnet18", None, 1000, 224).graph(), ActivationRule::Relu).total();
    assert_eq!((bwn.binary_macs, bwn.float_macs), (0, 1_814_073_344));
}

#[test]
fn the_summary_reads_like_this() {
    let summary = CostSummary::new(
        &Architecture::with_stages(vec![1, 1], 4, 10, 8).unwrap().graph(),
        ActivationRule::Quantized,
    );
    let expected = "\
layer                          output  binary weights  float weights   binary MACs   float MACs       bytes
conv1                           4x8x8               0            108             0         6912         432
bn1                             4x8x8               0             16             0            0          48
layer1.0.conv1                  4x8x8             144              0          9216            0          36
layer1.0.bn1                    4x8x8               0             16             0            0           8
layer1.0.conv2                  4x8x8             144              0          9216            0          36
layer1.0.bn2                    4x8x8               0             16             0            0          16
layer2.0.conv1                  8x4x4             288              0          4608            0          72
layer2.0.bn1                    8x4x4               0             32             0            0          16
layer2.0.conv2                  8x4x4             576              0          9216            0          72
layer2.0.bn2                    8x4x4               0             32             0            0          96
layer2.0.downsample.0           8x4x4               0             32             0          512         128
layer2.0.downsample.1           8x4x4               0             32             0            0          96
fc                             10x1x1               0             90             0           80         360
total                          10x1x1            1152            374         32256         7504        1416
MACs are for one image. Bytes are those of the packed file without its header: one bit per binary weight, batch norms as thresholds.";
    assert_eq!(summary.to_string(), expected);
}

fn images(n: usize, size: usize) -> Tensor<(usize, usize, usize, usize), f32, Cpu> {
    let dev = Cpu::seed_from_u64(3);
    dev.sample_normal_like(&(n, 3, size, size))
}

#[test]
fn evaluation_changes_nothing_and_does_not_depend_on_the_batch() {
    let architecture = architecture("resnet8", Some(4), 10, 16);
    let mut net = Network::new(&Cpu::default(), &architecture.graph(), Binarization::BNN, 0).unwrap();
    net.forward_train(images(8, 16)).unwrap();
    let all = images(4, 16);
    let first = net.evaluate(all.clone(), EvalMode::Binarized).unwrap().as_vec();
    net.evaluate(images(8, 16), EvalMode::Current).unwrap();
    assert_eq!(net.evaluate(all.clone(), EvalMode::Binarized).unwrap().as_vec(), first);
    let one: Vec<f32> = all.as_vec()[..3 * 256].to_vec();
    let one = Cpu::default().tensor_from_vec(one, (1, 3, 16, 16));
    assert_eq!(net.evaluate(one, EvalMode::Binarized).unwrap().as_vec(), first[..10]);
    assert_ne!(
        net.evaluate(all, EvalMode::Current).unwrap().as_vec(),
        first,
        "nothing is frozen yet"
    );
}

#[test]
fn the_same_seed_builds_the_same_network() {
    let architecture = architecture("resnet8", Some(4), 10, 16);
    let logits = |seed| {
        let net = Network::new(&Cpu::default(), &architecture.graph(), Binarization::BNN, seed).unwrap();
        net.evaluate(images(2, 16), EvalMode::Current).unwrap().as_vec()
    };
    assert_eq!(logits(1), logits(1));
    assert_ne!(logits(1), logits(2));
}

/// Which parameters get a gradient, by name.
struct Reached<'a>(&'a mut Gradients<f32, Cpu>, Vec<String>);

impl Visitor<Cpu> for Reached<'_> {
    type Error = CpuError;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, Cpu>,
    ) -> Result<(), CpuError> {
        if kind != TensorKind::Statistic && self.0.get_or_alloc_mut(tensor)?.iter().any(|g| *g != 0.0) {
            self.1.push(name.to_owned());
        }
        Ok(())
    }
}

fn reached(net: &mut Network<Cpu>) -> Vec<String> {
    let logits = net.forward_train(images(4, 16)).unwrap();
    let loss = ops::cross_entropy(logits, &[0, 1, 2, 3]).unwrap();
    let mut gradients = SwitchTape::into_owned_tape(loss).unwrap().backward();
    let mut reached = Reached(&mut gradients, Vec::new());
    net.visit("", &mut reached).unwrap();
    reached.1
}

/// The activation-induced gradient blockade (paper): a committed activation blocks the gradient of everything upstream. With forward order
/// the open suffix keeps learning; with a single committed activation at the end, only the head learns.
#[test]
fn committed_activations_block_the_gradient_upstream() {
    let build = || {
        let architecture = architecture("resnet8", Some(4), 10, 16);
        Network::new(&Cpu::default(), &architecture.graph(), Binarization::BNN, 0).unwrap()
    };
    let everything = reached(&mut build());
    assert!(
        everything.contains(&"conv1.weight".to_owned()) && everything.contains(&"layer3.0.conv2.weight".to_owned())
    );

    // Block layer2.0 begins with unit 2: once its activation is committed, layer1 and the stem are out of reach.
    let mut net = build();
    net.units()[2].activation.as_mut().unwrap().commit();
    let suffix = reached(&mut net);
    assert_eq!(suffix.first().map(String::as_str), Some("layer2.0.conv1.weight"));
    assert_eq!(
        suffix.len(),
        everything
            .iter()
            .filter(|n| n.starts_with("layer2") || n.starts_with("layer3") || n.starts_with("fc"))
            .count()
    );

    // The second activation of a block blocks its first convolution, but not the shortcut beside it.
    let mut net = build();
    net.units()[3].activation.as_mut().unwrap().commit();
    let around = reached(&mut net);
    assert!(
        !around.contains(&"layer2.0.conv1.weight".to_owned()) && !around.contains(&"layer2.0.bn1.weight".to_owned())
    );
    assert!(around.contains(&"layer2.0.downsample.0.weight".to_owned()) && around.contains(&"conv1.weight".to_owned()));

    let mut net = build();
    net.head_activations()[0].commit();
    assert_eq!(reached(&mut net), ["fc.weight", "fc.bias"]);
}

/// With continuous activations there is no blockade: committed weights stop, everything else learns.
#[test]
fn committed_weights_alone_block_no_gradient() {
    let architecture = architecture("resnet8", Some(4), 10, 16);
    let mut net = Network::new(&Cpu::default(), &architecture.graph(), Binarization::BWN, 0).unwrap();
    assert!(net.head_activations().is_empty());
    let everything = reached(&mut net);
    net.commit_all();
    let rest = reached(&mut net);
    assert_eq!(everything.len() - rest.len(), 6, "the six binary weights");
    assert!(rest.contains(&"conv1.weight".to_owned()));
}

/// Once everything is committed, the current network equals the deployed one.
#[test]
fn a_finished_plan_leaves_the_deploy_network() {
    let architecture = architecture("resnet8", Some(4), 10, 16);
    let mut net = Network::new(&Cpu::default(), &architecture.graph(), Binarization::BNN, 0).unwrap();
    let freezer = Freezer::new(
        Plan::new(PlanSpec::new(6, 60)).unwrap(),
        RefreshRate::from_steps(2.0).unwrap(),
        0,
    );
    for step in 0..60 {
        freezer.apply(step, &mut net).unwrap();
    }
    let logits = |net: &Network<Cpu>, mode| net.evaluate(images(2, 16), mode).unwrap().as_vec();
    assert_ne!(logits(&net, EvalMode::Current), logits(&net, EvalMode::Binarized));
    freezer.apply(60, &mut net).unwrap();
    assert_eq!(logits(&net, EvalMode::Current), logits(&net, EvalMode::Binarized));
}
