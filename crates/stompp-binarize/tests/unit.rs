//! Convolution, batch norm, shortcut and quantizer as one op: its gradient by finite differences, and its convolution on bits.

use approx::relative_eq;
use dfdx::prelude::*;
use rand::{Rng, RngExt};
use stompp_binarize::{Activation, BinaryConv2d, Convolution, MaskedQuantizer, NormActivation, Surrogate};
use stompp_nn::{BatchNorm2d, Conv2d, SwitchTape};
use stompp_rng::{Purpose, stream};

type Image<T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, Cpu, T>;

/// (batch, in, out, height, width, kernel, stride, padding): odd sizes, stride 2, a single image, channels below, at and above a word
/// of 64 bits.
const SHAPES: [[usize; 8]; 8] = [
    [1, 1, 1, 3, 3, 3, 1, 1],
    [2, 3, 4, 5, 7, 3, 1, 1],
    [1, 5, 3, 7, 6, 3, 2, 1],
    [3, 64, 7, 4, 4, 3, 1, 1],
    [2, 65, 9, 5, 5, 3, 2, 1],
    [2, 70, 16, 6, 3, 1, 2, 0],
    [1, 130, 2, 3, 3, 3, 1, 1],
    [2, 16, 16, 8, 8, 3, 1, 1],
];

fn rng(case: usize) -> impl Rng {
    stream(5, Purpose::new(*b"unittest"), case as u64, 0)
}

fn tensor<S: Shape>(shape: S, size: f32, rng: &mut impl Rng) -> Tensor<S, f32, Cpu> {
    let values = (0..shape.num_elements())
        .map(|_| rng.random_range(-size..size))
        .collect();
    Cpu::default().tensor_from_vec(values, shape)
}

fn on<S: Shape>(tensor: &Tensor<S, f32, Cpu>, recording: bool) -> Tensor<S, f32, Cpu, SwitchTape<Cpu>> {
    tensor.clone().put_tape(SwitchTape::new(recording))
}

/// Height and width of a convolution's output.
fn output([_, _, _, height, width, kernel, stride, padding]: [usize; 8]) -> (usize, usize) {
    let size = |input: usize| (input + 2 * padding - kernel) / stride + 1;
    (size(height), size(width))
}

/// A batch norm whose scale is negative, zero and positive by turns, at most `size` in magnitude.
fn norm(channels: usize, size: f32, rng: &mut impl Rng) -> BatchNorm2d<usize, f32, Cpu> {
    let mut norm = BatchNorm2d::new(&Cpu::default(), channels).unwrap();
    let scale = (0..channels)
        .map(|channel| [-1.0, 0.5, 0.0, 1.0][channel % 4] * size)
        .collect();
    norm.scale = Cpu::default().tensor_from_vec(scale, (channels,));
    norm.shift = tensor((channels,), size, rng);
    norm
}

/// A step of 1e-2 in f32 is good to some 1e-3 for functions as smooth as this one; the quantizer is open and nothing comes near its
/// corners, where there is no derivative.
#[test]
fn the_gradient_of_the_whole_is_that_of_finite_differences() {
    const STEP: f32 = 1e-2;
    for (case, shape) in SHAPES.into_iter().enumerate() {
        let [batch, inputs, outputs, height, width, kernel, stride, padding] = shape;
        let mut rng = rng(case);
        let (rows, columns) = output(shape);
        let x = tensor((batch, inputs, height, width), 1.0, &mut rng);
        let w = tensor((outputs, inputs, kernel, kernel), 0.5, &mut rng);
        let residual = tensor((batch, outputs, rows, columns), 0.2, &mut rng);
        let norm = norm(outputs, 0.1, &mut rng);
        let activation = Activation::Clip(MaskedQuantizer::new(outputs * rows * columns, Surrogate::Blocked));
        let run =
            |x: Image<SwitchTape<Cpu>>, w: Image<SwitchTape<Cpu>>, residual: Image<SwitchTape<Cpu>>, scaled: bool| {
                let then = NormActivation {
                    norm: &mut norm.clone(),
                    activation: &activation,
                };
                let convolution = Convolution::new(x, w, stride, padding);
                then.forward_fused(convolution, Some(residual), SwitchTape::new(scaled))
                    .unwrap()
            };
        let projection = tensor((batch, outputs, rows, columns), 1.0, &mut rng);
        let loss = |x: &Image, w: &Image, residual: &Image| -> f64 {
            let y = run(on(x, false), on(w, false), on(residual, false), false).as_vec();
            assert!(y.iter().all(|y| y.abs() < 0.95), "case {case} is near a corner");
            let terms = y
                .iter()
                .zip(projection.as_vec())
                .map(|(y, p)| f64::from(*y) * f64::from(p));
            terms.sum()
        };
        let traced =
            (run(on(&x, true), on(&w, true), on(&residual, true), true) * projection.clone()).sum::<Rank0, _>();
        let gradients = SwitchTape::into_owned_tape(traced).expect("recorded").backward();
        // Some entries of each input.
        for (name, which, input) in [("x", 0, &x), ("w", 1, &w), ("residual", 2, &residual)] {
            let found = gradients.get(input).as_vec();
            let values = input.as_vec();
            for index in (0..values.len()).step_by(1 + values.len() / 12) {
                let shifted = |by: f32| {
                    let mut moved = values.clone();
                    moved[index] += by;
                    let moved = Cpu::default().tensor_from_vec(moved, *input.shape());
                    match which {
                        0 => loss(&moved, &w, &residual),
                        1 => loss(&x, &moved, &residual),
                        _ => loss(&x, &w, &moved),
                    }
                };
                let numeric = (shifted(STEP) - shifted(-STEP)) / (2.0 * f64::from(STEP));
                let found = f64::from(found[index]);
                assert!(
                    relative_eq!(found, numeric, epsilon = 4e-3, max_relative = 1e-2),
                    "case {case}, {name} {index}: {found}, numerically {numeric}"
                );
            }
        }
    }
}

/// The convolution's sums are integers, so that bits and floats agree exactly, whatever the sign of the batch norm's scale makes of
/// them, and padding adds nothing.
#[test]
fn on_bits_it_is_the_same_as_by_multiplication() {
    for (case, shape) in SHAPES.into_iter().enumerate() {
        let [batch, inputs, outputs, height, width, kernel, stride, padding] = shape;
        let mut rng = rng(case);
        let (rows, columns) = output(shape);
        let signs = (0..batch * inputs * height * width)
            .map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 })
            .collect();
        let x: Image = Cpu::default().tensor_from_vec(signs, (batch, inputs, height, width));
        let residual = tensor((batch, outputs, rows, columns), 1.0, &mut rng);
        let latent = Conv2d::new(&Cpu::default(), inputs, outputs, kernel, stride, padding, &mut rng).unwrap();
        let norm = norm(outputs, 1.0, &mut rng);
        for surrogate in [Surrogate::Blocked, Surrogate::Clipped] {
            let mut conv = BinaryConv2d::new(latent.clone(), surrogate);
            conv.quantizer.commit();
            let mut quantizer = MaskedQuantizer::new(outputs * rows * columns, Surrogate::Clipped);
            quantizer.refresh(0.5, 1.0, &mut rng).unwrap();
            let activation = Activation::Quantized(quantizer);
            let run = |binary: bool| {
                let mut norm = norm.clone();
                let convolution = conv.forward_with(on(&x, false), binary, SwitchTape::off()).unwrap();
                let then = NormActivation {
                    norm: &mut norm,
                    activation: &activation,
                };
                let y = then
                    .forward_fused(convolution, Some(on(&residual, false)), SwitchTape::off())
                    .unwrap();
                (y.as_vec(), norm.running_mean.as_vec(), norm.running_var.as_vec())
            };
            assert_eq!(run(true), run(false), "case {case}, {surrogate:?}");
        }
    }
}
