//! Layers as dfdx modules: what training mode changes, what evaluation leaves alone, how they are built and visited.

use approx::assert_abs_diff_eq;
use dfdx::prelude::*;
use std::convert::Infallible;
use stompp_nn::{GlobalAveragePool, MaxPool2d, TensorKind, VisitTensors, Visitor, builder};

type Net = (
    builder::Conv2d<3, 4, 3, 2, 1>,
    builder::BatchNorm2d<4>,
    MaxPool2d<2, 2, 0>,
    GlobalAveragePool,
    builder::Linear<4, 5>,
);

#[test]
fn layers_compose_with_dfdx_tuples() {
    let dev = Cpu::seed_from_u64(0);
    let mut net = dev.build_module::<Net, f32>();
    assert_eq!(net.num_trainable_params(), 4 * 3 * 9 + 2 * 4 + 4 * 5 + 5);
    let x: Tensor<Rank4<2, 3, 8, 8>, f32, _> = dev.sample_normal();
    assert_eq!(net.forward(x.clone()).shape().concrete(), [2, 5]);
    let gradients = net.forward_mut(x.leaky_traced()).square().sum::<Rank0, _>().backward();
    assert!(gradients.get(&net.0.weight).as_vec().iter().any(|g| *g != 0.0));
    assert!(gradients.get(&net.4.bias).as_vec().iter().any(|g| *g != 0.0));
}

#[test]
fn a_device_seed_fixes_the_initial_weights() {
    let weight = |seed| {
        Cpu::seed_from_u64(seed)
            .build_module::<builder::Linear<6, 3>, f32>()
            .weight
            .as_vec()
    };
    assert_eq!(weight(1), weight(1));
    assert_ne!(weight(1), weight(2));
}

/// He's deviation sqrt(2 / fan_out) = sqrt(2 / (64 * 9)) = 0.0589; of 18432 draws it is known to 0.5 %.
#[test]
fn convolutions_start_with_hes_deviation() {
    let weight = Cpu::default()
        .build_module::<builder::Conv2d<32, 64, 3, 1, 1>, f32>()
        .weight
        .as_vec();
    let n = weight.len() as f32;
    let deviation = (weight.iter().map(|w| w * w).sum::<f32>() / n).sqrt();
    assert_abs_diff_eq!(deviation, 0.0589, epsilon = 0.0015);
    assert_abs_diff_eq!(weight.iter().sum::<f32>() / n, 0.0, epsilon = 0.0025);
}

/// One channel with values 0, 1, 2, 5: mean 2, biased variance 3.5, unbiased 14/3. By hand, after one batch with momentum
/// 0.1: running mean 0.2, running variance 0.9 + 1.4/3.
#[test]
fn batch_norm_follows_training_batches_only() {
    let dev = Cpu::default();
    let mut norm = dev.build_module::<builder::BatchNorm2d<1>, f32>();
    let x: Tensor<Rank4<2, 1, 1, 2>, f32, _> = dev.tensor([[[[0.0, 1.0]]], [[[2.0, 5.0]]]]);

    let y = norm.forward(x.clone()).as_vec();
    assert_abs_diff_eq!(y[3], 5.0, epsilon = 1e-4);
    assert_eq!(
        (norm.running_mean.as_vec(), norm.running_var.as_vec()),
        (vec![0.0], vec![1.0])
    );

    let y = norm.forward_mut(x.clone()).as_vec(); // training, although off the tape
    assert_abs_diff_eq!(y[3], 3.0 / 3.5f32.sqrt(), epsilon = 1e-4);
    assert_abs_diff_eq!(norm.running_mean.as_vec()[0], 0.2, epsilon = 1e-6);
    assert_abs_diff_eq!(norm.running_var.as_vec()[0], 0.9 + 1.4 / 3.0, epsilon = 1e-6);

    let evaluated = norm.forward(x).as_vec();
    assert_abs_diff_eq!(evaluated[3], (5.0 - 0.2) / (0.9 + 1.4 / 3.0f32).sqrt(), epsilon = 1e-4);
}

#[test]
fn a_visit_names_tensors_as_torchvision_does() {
    struct Names(Vec<(String, TensorKind, usize)>);
    impl Visitor<Cpu> for Names {
        type Error = Infallible;
        fn visit_tensor<S: Shape>(
            &mut self,
            name: &str,
            kind: TensorKind,
            t: &Tensor<S, f32, Cpu>,
        ) -> Result<(), Infallible> {
            self.0.push((name.to_owned(), kind, t.shape().num_elements()));
            Ok(())
        }
    }
    let mut names = Names(Vec::new());
    let dev = Cpu::default();
    dev.build_module::<builder::BatchNorm2d<4>, f32>()
        .visit("bn1.", &mut names)
        .unwrap();
    dev.build_module::<builder::Linear<4, 5>, f32>()
        .visit("fc.", &mut names)
        .unwrap();
    let expected = [
        ("bn1.weight", TensorKind::PARAMETER, 4),
        ("bn1.bias", TensorKind::PARAMETER, 4),
        ("bn1.running_mean", TensorKind::Statistic, 4),
        ("bn1.running_var", TensorKind::Statistic, 4),
        ("fc.weight", TensorKind::PARAMETER, 20),
        ("fc.bias", TensorKind::PARAMETER, 5),
    ];
    assert_eq!(names.0, expected.map(|(name, kind, n)| (name.to_owned(), kind, n)));
}

#[test]
#[should_panic(expected = "input channels")]
fn a_convolution_refuses_other_channels() {
    let dev = Cpu::default();
    let mut rng = stompp_rng::stream(0, stompp_rng::Purpose::INITIAL_WEIGHTS, 0, 0);
    let conv = stompp_nn::Conv2d::new(&dev, 3usize, 4usize, 3usize, 1usize, 1usize, &mut rng).unwrap();
    let x: Tensor<(usize, usize, usize, usize), f32, _> = dev.zeros_like(&(1, 5, 8, 8));
    conv.forward(x);
}
