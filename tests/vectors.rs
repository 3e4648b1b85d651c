//! Parity with the reference vectors: loss, logits, every gradient, three optimizer steps and evaluation, in every mode.
//!
//! `STOMPP_VECTORS=DIR cargo test -p stompp-tests vectors` checks the vectors in another folder.

use approx::abs_diff_eq;
use dfdx::{
    prelude::Backward,
    shapes::Shape,
    tensor::{Cpu, Gradients, Tensor},
};
use std::convert::Infallible;
use stompp_binarize::{BinaryBackend, EvalMode, Freezable, MaskedQuantizer, Network};
use stompp_nn::{
    SwitchTape, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut, ops,
    optim::{Optimizer, Sgd},
};
use stompp_tests::reference::{self, Reference};

/// The tolerance of float32 against float64, as `tests/vectors/README.txt` allows.
const TOLERANCE: f64 = 1e-4;

#[test]
fn vectors_agree_with_the_boundary() {
    for reference in reference::read_all(&reference::folder()) {
        check(&Cpu::default(), &reference, AllOnes::Committed);
    }
}

/// Uses complete masks that are not marked committed: everything stays on the tape, and zero gradients are computed. Together with the
/// previous test this shows that stopping at the boundary changes nothing.
#[test]
fn vectors_agree_without_the_boundary() {
    for reference in reference::read_all(&reference::folder()) {
        check(&Cpu::default(), &reference, AllOnes::Partial);
    }
}

#[cfg(feature = "cuda")]
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_vectors_agree() {
    use stompp_nn::cuda::{GpuSettings, open};
    let strict = GpuSettings {
        tf32: false,
        ..GpuSettings::default()
    };
    let device = open(strict).expect("a GPU");
    for reference in reference::read_all(&reference::folder()) {
        check(&device, &reference, AllOnes::Committed);
        check(&device, &reference, AllOnes::Partial);
    }
}

#[test]
fn vectors_are_all_there() {
    let names: Vec<String> = reference::read_all(&reference::folder())
        .into_iter()
        .map(|r| r.name)
        .collect();
    assert!(!names.is_empty());
    if std::env::var_os("STOMPP_VECTORS").is_none() {
        assert_eq!(names.len(), 14, "{names:?}");
    }
}

/// Negative control: the comparison fails for a wrong surrogate of weights or activations.
#[test]
fn vectors_notice_a_wrong_rule() {
    use stompp_binarize::Surrogate;
    let find = |name: &str| {
        reference::read_all(&reference::folder())
            .into_iter()
            .find(|r| r.name == name)
            .expect("a known mode")
    };
    let folder = reference::folder();
    if !folder.join("stompp_partial.npz").exists() {
        return; // another folder of vectors may not have this mode
    }
    let mut wrong = find("stompp_partial");
    wrong.binarization.weight_surrogate = Surrogate::Identity;
    assert!(std::panic::catch_unwind(|| check(&Cpu::default(), &wrong, AllOnes::Committed)).is_err());
    let mut wrong = find("stompp_ste_partial");
    wrong.binarization.activation_surrogate = Surrogate::Clipped;
    assert!(std::panic::catch_unwind(|| check(&Cpu::default(), &wrong, AllOnes::Committed)).is_err());
}

/// The way to set a mask of all ones.
#[derive(Clone, Copy, PartialEq)]
enum AllOnes {
    Committed,
    Partial,
}

fn check<D: BinaryBackend>(device: &D, reference: &Reference, all_ones: AllOnes) {
    let mut net =
        Network::new(device, &reference.architecture().graph(), reference.binarization, 0).expect("a network");
    net.visit_mut("", &mut Load { reference, loaded: 0 })
        .expect("every parameter");
    set_masks(&mut net, reference, all_ones);

    let x: Vec<f32> = reference.array("x").iter().map(|&v| v as f32).collect();
    let shape = reference.shape("x");
    let images = device.tensor_from_vec(x, (shape[0], shape[1], shape[2], shape[3]));
    let labels: Vec<usize> = reference.array("y").iter().map(|&v| v as usize).collect();

    let mut optimizer = Sgd::new(0.1, 0.9);
    for step in 0..3 {
        let logits = net.forward_train(images.clone()).expect("a forward pass");
        let logit_values = logits.as_vec();
        let loss = ops::cross_entropy(logits, &labels).expect("a loss");
        close(reference, "losses", &[reference.array("losses")[step]], &loss.as_vec());
        let mut gradients = SwitchTape::into_owned_tape(loss).expect("a recorded loss").backward();
        if step == 0 {
            close(reference, "logits", reference.array("logits"), &logit_values);
            let mut compare = CompareGradients {
                reference,
                gradients: &mut gradients,
                compared: 0,
            };
            net.visit("", &mut compare).expect("a visit");
            assert_eq!(
                compare.compared,
                reference.names("grad/").count(),
                "{}: gradients",
                reference.name
            );
        }
        optimizer.step(device, &mut net, &mut gradients).expect("a step");
        if step == 0 || step == 2 {
            let prefix = format!("step{}/", step + 1);
            let mut compare = CompareValues {
                reference,
                prefix: &prefix,
                compared: 0,
            };
            net.visit("", &mut compare).expect("a visit");
            assert_eq!(
                compare.compared,
                reference.names(&prefix).count(),
                "{}: {prefix}",
                reference.name
            );
        }
    }
    let evaluated = net.evaluate(images, EvalMode::Current).expect("an evaluation").as_vec();
    close(
        reference,
        "eval_logits_step3",
        reference.array("eval_logits_step3"),
        &evaluated,
    );
}

fn close(reference: &Reference, what: &str, expected: &[f64], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{}: {what}", reference.name);
    for (index, (&expected, &found)) in expected.iter().zip(found).enumerate() {
        let found = f64::from(found);
        assert!(
            abs_diff_eq!(found, expected, epsilon = TOLERANCE),
            "{}: {what}[{index}] is {found}, expected {expected} (off by {:.1e})",
            reference.name,
            (found - expected).abs()
        );
    }
}

fn set_masks<D: BinaryBackend>(net: &mut Network<D>, reference: &Reference, all_ones: AllOnes) {
    let set = |quantizer: &mut MaskedQuantizer, name: &str| {
        let Some(mask) = reference.get(&format!("mask/{name}")) else {
            return 0;
        };
        assert_eq!(mask.len(), quantizer.entries(), "{}: mask {name}", reference.name);
        let mut words = vec![0u64; mask.len().div_ceil(64)];
        for (index, _) in mask.iter().enumerate().filter(|(_, bit)| **bit != 0.0) {
            words[index / 64] |= 1 << (index % 64);
        }
        quantizer.restore(words).expect("a mask");
        if mask.iter().all(|bit| *bit == 1.0) && all_ones == AllOnes::Committed {
            quantizer.commit();
        }
        1
    };
    let mut masks = 0;
    for unit in net.units() {
        let (activation, weight) = reference.mask_names(unit.name);
        masks += unit.activation.map_or(0, |quantizer| set(quantizer, &activation)) + set(unit.weight, &weight);
    }
    for quantizer in net.head_activations() {
        masks += set(quantizer, &reference.final_mask_name());
    }
    assert_eq!(
        masks,
        reference.names("mask/").count(),
        "{}: every mask has a place",
        reference.name
    );
}

struct Load<'a> {
    reference: &'a Reference,
    loaded: usize,
}

impl<D: BinaryBackend> VisitorMut<D> for Load<'_> {
    type Error = Infallible;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        mut tensor: TensorMut<'_, S, D>,
    ) -> Result<(), Infallible> {
        if kind != TensorKind::Statistic {
            let values = self
                .reference
                .array(&format!("param/{}", self.reference.tensor_name(name)));
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            tensor.copy_from(&values);
            self.loaded += 1;
        }
        Ok(())
    }
}

struct CompareGradients<'a, D: BinaryBackend> {
    reference: &'a Reference,
    gradients: &'a mut Gradients<f32, D>,
    compared: usize,
}

impl<D: BinaryBackend> Visitor<D> for CompareGradients<'_, D> {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), Infallible> {
        if kind != TensorKind::Statistic {
            let name = format!("grad/{}", self.reference.tensor_name(name));
            self.gradients.try_alloc_for(tensor).expect("a gradient");
            let found = self.gradients.get(tensor).as_vec();
            close(self.reference, &name, self.reference.array(&name), &found);
            self.compared += 1;
        }
        Ok(())
    }
}

struct CompareValues<'a> {
    reference: &'a Reference,
    prefix: &'a str,
    compared: usize,
}

impl<D: BinaryBackend> Visitor<D> for CompareValues<'_> {
    type Error = Infallible;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), Infallible> {
        let name = format!("{}{}", self.prefix, self.reference.tensor_name(name));
        if let Some(expected) = self.reference.get(&name) {
            let mut found = tensor.as_vec();
            if let TensorKind::Parameter {
                learning: false,
                bound: Some(bound),
            } = kind
            {
                // Only the sign of a stopped weight is read, so it is not clamped here. The reference still clamps it.
                found.iter_mut().for_each(|value| *value = value.clamp(-bound, bound));
            }
            close(self.reference, &name, expected, &found);
            self.compared += 1;
        }
        Ok(())
    }
}
