//! Every op's gradient against central finite differences, over a grid of shapes: odd sizes, stride 2, batch 1, channel
//! counts that are no multiple of anything.
//!
//! The loss is a fixed random projection of the output, so that every output entry matters. It is summed in f64 from the
//! op's f32 output; a step of 1e-2 then gives differences that are good to about 1e-3 for these smooth functions.

use approx::relative_eq;
use dfdx::prelude::*;
use rand::{Rng, RngExt};
use stompp_nn::{SwitchTape, ops};
use stompp_rng::{Purpose, stream};

const STEP: f32 = 1e-2;
const TOLERANCE: f64 = 4e-3;

fn rng(case: u64) -> impl Rng {
    stream(1, Purpose::new(*b"gradtest"), case, 0)
}

fn tensor<S: Shape>(shape: S, rng: &mut impl Rng) -> Tensor<S, f32, Cpu> {
    let values = (0..shape.num_elements()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Cpu::default().tensor_from_vec(values, shape)
}

/// Checks the gradient of `input` where `run` maps it to an output whose projection on `weights` is the loss.
fn check<S: Shape, Y: Shape>(
    what: &str,
    input: &Tensor<S, f32, Cpu>,
    run: impl Fn(Tensor<S, f32, Cpu, SwitchTape<Cpu>>) -> Tensor<Y, f32, Cpu, SwitchTape<Cpu>>,
) {
    let output = run(input.clone().put_tape(SwitchTape::off()));
    let mut projection_rng = rng(99);
    let projection: Tensor<Y, f32, Cpu> = tensor(*output.shape(), &mut projection_rng);
    let loss = |x: Tensor<S, f32, Cpu>| -> f64 {
        let y = run(x.put_tape(SwitchTape::off())).as_vec();
        y.iter()
            .zip(projection.as_vec())
            .map(|(y, p)| f64::from(*y) * f64::from(p))
            .sum()
    };

    let y = run(input.clone().put_tape(SwitchTape::on()));
    let traced = (y * projection.clone()).sum::<Rank0, _>();
    let gradient = SwitchTape::into_owned_tape(traced)
        .expect("recorded")
        .backward()
        .get(input)
        .as_vec();

    let values = input.as_vec();
    for index in 0..values.len() {
        let shifted = |by: f32| {
            let mut moved = values.clone();
            moved[index] += by;
            loss(Cpu::default().tensor_from_vec(moved, *input.shape()))
        };
        let numeric = (shifted(STEP) - shifted(-STEP)) / (2.0 * f64::from(STEP));
        let found = f64::from(gradient[index]);
        let agree = relative_eq!(found, numeric, epsilon = TOLERANCE, max_relative = TOLERANCE);
        assert!(agree, "{what}: entry {index} is {found}, numerically {numeric}");
    }
}

fn off<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Tensor<S, f32, Cpu, SwitchTape<Cpu>> {
    tensor.clone().put_tape(SwitchTape::off())
}

/// (batch, in, out, height, width, kernel, stride, padding)
const CONVOLUTIONS: [[usize; 8]; 8] = [
    [2, 3, 4, 5, 5, 3, 1, 1],
    [1, 1, 1, 3, 3, 3, 1, 0],
    [2, 3, 5, 7, 6, 3, 2, 1],
    [3, 5, 2, 4, 4, 1, 1, 0],
    [2, 3, 9, 5, 7, 1, 2, 0],
    [1, 2, 3, 9, 9, 7, 2, 3],
    [2, 9, 3, 3, 4, 3, 1, 2],
    [1, 2, 2, 6, 5, 5, 3, 1],
];

#[test]
fn convolution() {
    for (case, [batch, inputs, outputs, height, width, kernel, stride, padding]) in CONVOLUTIONS.into_iter().enumerate()
    {
        let mut rng = rng(case as u64);
        let x = tensor((batch, inputs, height, width), &mut rng);
        let w = tensor((outputs, inputs, kernel, kernel), &mut rng);
        let what = format!("convolution {case}");
        check(&format!("{what} by x"), &x, |x| {
            ops::conv2d(x, off(&w), stride, padding).unwrap()
        });
        check(&format!("{what} by w"), &w, |w| {
            ops::conv2d(off(&x), w, stride, padding).unwrap()
        });
    }
}

#[test]
fn batch_norm() {
    for (case, shape) in [(3, 2, 4, 5), (2, 5, 3, 3), (4, 1, 1, 2), (1, 3, 4, 4)]
        .into_iter()
        .enumerate()
    {
        let mut rng = rng(case as u64);
        let x = tensor(shape, &mut rng);
        let (scale, shift) = (tensor((shape.1,), &mut rng), tensor((shape.1,), &mut rng));
        let run = |x, scale, shift| {
            let (mut mean, mut variance) = (tensor_of_zeros(shape.1), tensor_of_zeros(shape.1));
            let running = ops::RunningStatistics {
                mean: &mut mean,
                variance: &mut variance,
                momentum: 0.1,
            };
            ops::batch_norm(x, scale, shift, 1e-5, running).unwrap()
        };
        check(&format!("batch norm {case} by x"), &x, |x| {
            run(x, off(&scale), shift.clone())
        });
        check(&format!("batch norm {case} by scale"), &scale, |scale| {
            run(off(&x), scale, shift.clone())
        });
    }
}

/// The shift has no tape of its own: its gradient comes with the scale's, and is the plain sum of the output's.
#[test]
fn batch_norm_shift() {
    let mut rng = rng(0);
    let x = tensor((2, 3, 4, 4), &mut rng);
    let (scale, shift) = (tensor((3,), &mut rng), tensor((3,), &mut rng));
    let projection = tensor((2, 3, 4, 4), &mut rng);
    let (mut mean, mut variance) = (tensor_of_zeros(3), tensor_of_zeros(3));
    let running = ops::RunningStatistics {
        mean: &mut mean,
        variance: &mut variance,
        momentum: 0.1,
    };
    let y = ops::batch_norm(off(&x), scale.put_tape(SwitchTape::on()), shift.clone(), 1e-5, running).unwrap();
    let gradients = SwitchTape::into_owned_tape((y * projection.clone()).sum::<Rank0, _>())
        .unwrap()
        .backward();
    let expected = projection.sum::<(usize,), Axes3<0, 2, 3>>().as_vec();
    for (found, expected) in gradients.get(&shift).as_vec().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
}

fn tensor_of_zeros(n: usize) -> Tensor<(usize,), f32, Cpu> {
    Cpu::default().zeros_like(&(n,))
}

#[test]
fn linear() {
    for (case, (batch, inputs, outputs)) in [(3, 5, 7), (1, 1, 1), (2, 17, 3)].into_iter().enumerate() {
        let mut rng = rng(case as u64);
        let x = tensor((batch, inputs), &mut rng);
        let (w, b) = (tensor((outputs, inputs), &mut rng), tensor((outputs,), &mut rng));
        check(&format!("linear {case} by x"), &x, |x| {
            ops::linear(x, off(&w), b.clone()).unwrap()
        });
        check(&format!("linear {case} by w"), &w, |w| {
            ops::linear(off(&x), w, b.clone()).unwrap()
        });
    }
}

#[test]
fn linear_bias() {
    let mut rng = rng(0);
    let (x, w, b) = (
        tensor((3, 2), &mut rng),
        tensor((4, 2), &mut rng),
        tensor((4,), &mut rng),
    );
    let y = ops::linear(off(&x), w.put_tape(SwitchTape::on()), b.clone()).unwrap();
    let gradients = SwitchTape::into_owned_tape(y.sum::<Rank0, _>()).unwrap().backward();
    assert_eq!(gradients.get(&b).as_vec(), [3.0; 4]);
}

#[test]
fn pools() {
    for (case, shape) in [(2, 3, 5, 7), (1, 1, 4, 4), (3, 2, 6, 3)].into_iter().enumerate() {
        let x = separated(shape, &mut rng(case as u64));
        check(&format!("global average pool {case}"), &x, |x| {
            ops::global_average_pool(x).unwrap()
        });
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1)] {
            let what = format!("max pool {case} {kernel} {stride} {padding}");
            check(&what, &x, |x| ops::max_pool(x, kernel, stride, padding).unwrap());
        }
        for (kernel, stride) in [(2, 2), (3, 1), (2, 1)] {
            let what = format!("average pool {case} {kernel} {stride}");
            check(&what, &x, |x| ops::average_pool(x, kernel, stride).unwrap());
        }
    }
}

/// Values further apart than the finite difference steps, and none near 0: no maximum and no rectifier changes sides.
fn separated(
    shape: (usize, usize, usize, usize),
    rng: &mut impl Rng,
) -> Tensor<(usize, usize, usize, usize), f32, Cpu> {
    let n = shape.num_elements();
    let mut values: Vec<f32> = (0..n).map(|i| 0.05 * (i as f32 - n as f32 / 2.0) + 0.025).collect();
    for index in (1..n).rev() {
        values.swap(index, rng.random_range(0..=index));
    }
    Cpu::default().tensor_from_vec(values, shape)
}

#[test]
fn pointwise() {
    let mut rng = rng(0);
    let (a, b) = (separated((2, 3, 4, 5), &mut rng), separated((2, 3, 4, 5), &mut rng));
    check("relu", &a, |a| ops::relu(a).unwrap());
    check("add by a", &a, |a| ops::add(a, off(&b)).unwrap());
    check("add by b", &b, |b| ops::add(off(&a), b).unwrap());
}

#[test]
fn cross_entropy() {
    let mut rng = rng(0);
    let logits = tensor((4, 7), &mut rng);
    check("cross-entropy", &logits, |logits| {
        ops::cross_entropy(logits, &[0, 6, 3, 3]).unwrap()
    });
    check("smoothed cross-entropy", &logits, |logits| {
        ops::smoothed_cross_entropy(logits, &[0, 6, 3, 3], 0.2).unwrap()
    });
}

/// Negative control: the check notices a doubled gradient.
#[test]
#[should_panic(expected = "numerically")]
fn a_wrong_gradient_is_noticed() {
    let x = tensor((2, 3), &mut rng(0));
    check("forward x, backward as if 2 x", &x, |x| {
        let (value, mut tape) = x.split_tape();
        let y = value.clone();
        let out = y.clone() * 1.0;
        let ghost = out.ghost();
        tape.add_backward_op(move |gradients| {
            let gy = gradients.get_or_alloc_mut(&ghost)?.clone();
            let gx = gradients.get_or_alloc_mut(&value)?;
            gx.iter_mut().zip(gy.iter()).for_each(|(gx, gy)| *gx += 2.0 * gy);
            Ok(())
        });
        out.put_tape(tape)
    });
}

/// A tensor off the tape gets no gradient, and does not change the gradients of tensors on the tape.
#[test]
fn an_input_off_the_tape_gets_no_gradient() {
    let mut rng = rng(0);
    let (x, w) = (tensor((2, 3, 5, 5), &mut rng), tensor((4, 3, 3, 3), &mut rng));
    let gradient = |x_on: bool, w_on: bool| {
        let y = ops::conv2d(
            x.clone().put_tape(SwitchTape::new(x_on)),
            w.clone().put_tape(SwitchTape::new(w_on)),
            1,
            1,
        );
        SwitchTape::into_owned_tape(y.unwrap().square().sum::<Rank0, _>()).map(Backward::backward)
    };
    let both = gradient(true, true).unwrap();
    let mut only_w = gradient(false, true).unwrap();
    assert_eq!(both.get(&w).as_vec(), only_w.get(&w).as_vec());
    assert!(only_w.get_or_alloc_mut(&x).unwrap().iter().all(|g| *g == 0.0));
    let mut only_x = gradient(true, false).unwrap();
    assert_eq!(both.get(&x).as_vec(), only_x.get(&x).as_vec());
    assert!(only_x.get_or_alloc_mut(&w).unwrap().iter().all(|g| *g == 0.0));
    assert!(gradient(false, false).is_none());
}

/// A permuted input is made contiguous on entry, and its gradient has its own order.
#[test]
fn permuted_inputs_are_accepted() {
    let mut rng = rng(0);
    let (x, w) = (tensor((3, 2), &mut rng), tensor((4, 3), &mut rng));
    let b = tensor_of_zeros(4);
    check("linear of a permuted input", &x, |x| {
        ops::linear(x.permute::<(usize, usize), Axes2<1, 0>>(), off(&w), b.clone()).unwrap()
    });
}
