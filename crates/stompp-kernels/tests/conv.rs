//! Convolution and its gradients against a naive one in `f64`, over many shapes, at every SIMD level.

mod common;

use common::{assert_close, at_every_level, double, finite_differences, noise, same_bits_whatever_the_threads};
use stompp_kernels::{
    ConvShape, Slices, conv2d_backward_input, conv2d_backward_weight, conv2d_forward, linear_backward, linear_forward,
};

/// Calls `f(output, input, weight)` with the indices of every product.
fn products(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (rows, columns) = (s.out_height(), s.out_width());
    for n in 0..s.batch {
        for o in 0..s.out_channels {
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                for c in 0..s.in_channels {
                    for (ky, kx) in (0..s.kernel).flat_map(|y| (0..s.kernel).map(move |x| (y, x))) {
                        let (y, x) = (row * s.stride + ky, column * s.stride + kx);
                        let inside = |at: usize, extent: usize| at >= s.padding && at - s.padding < extent;
                        if inside(y, s.in_height) && inside(x, s.in_width) {
                            let (y, x) = (y - s.padding, x - s.padding);
                            f(
                                ((n * s.out_channels + o) * rows + row) * columns + column,
                                ((n * s.in_channels + c) * s.in_height + y) * s.in_width + x,
                                ((o * s.in_channels + c) * s.kernel + ky) * s.kernel + kx,
                            );
                        }
                    }
                }
            }
        }
    }
}

fn naive_forward(s: &ConvShape, x: &[f64], w: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; s.output_len()];
    products(s, |o, i, k| y[o] += x[i] * w[k]);
    y
}

fn naive_backward(s: &ConvShape, x: &[f64], w: &[f64], gy: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut gx, mut gw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    products(s, |o, i, k| {
        gx[i] += gy[o] * w[k];
        gw[k] += gy[o] * x[i];
    });
    (gx, gw)
}

fn shape(
    (batch, in_channels, out_channels): (usize, usize, usize),
    (in_height, in_width): (usize, usize),
    (kernel, stride, padding): (usize, usize, usize),
) -> ConvShape {
    ConvShape {
        batch,
        in_channels,
        in_height,
        in_width,
        out_channels,
        kernel,
        stride,
        padding,
    }
}

fn grid() -> Vec<ConvShape> {
    let mut shapes = Vec::new();
    for channels in [(1, 3, 5), (2, 8, 16), (3, 17, 33), (5, 1, 1)] {
        for extent in [(7, 5), (8, 8), (9, 12)] {
            for window in [
                (1, 1, 0),
                (1, 2, 0),
                (3, 1, 1),
                (3, 1, 0),
                (3, 2, 1),
                (3, 2, 0),
                (3, 3, 1),
                (7, 2, 3),
                (2, 2, 0),
                (1, 1, 1),
            ] {
                if window.0 <= extent.1 + 2 * window.2 {
                    shapes.push(shape(channels, extent, window));
                }
            }
        }
    }
    // Kernel as large as the input; larger padding than kernel; single pixels; several groups of images; long sums.
    shapes.push(shape((2, 4, 4), (5, 5), (5, 1, 0)));
    shapes.push(shape((2, 4, 4), (3, 4), (3, 2, 4)));
    shapes.push(shape((2, 4, 4), (3, 4), (1, 2, 1)));
    shapes.push(shape((3, 70, 10), (1, 1), (1, 1, 0)));
    shapes.push(shape((37, 5, 40), (4, 4), (3, 1, 1)));
    shapes.push(shape((18, 6, 6), (16, 16), (3, 1, 1)));
    shapes.push(shape((2, 130, 66), (5, 6), (3, 1, 1)));
    // Winograd's tiles: part of a vector, part of a block, several groups, panels and chunks; rows that are not multiples of a vector.
    for (channels, extent) in [
        ((1, 16, 16), (2, 2)),
        ((7, 16, 24), (4, 4)),
        ((3, 32, 16), (8, 8)),
        ((2, 16, 72), (16, 16)),
        ((1, 24, 16), (32, 32)),
        ((2, 16, 16), (6, 10)),
        ((1, 40, 16), (4, 70)),
        ((70, 16, 16), (2, 4)),
        ((2, 264, 136), (4, 6)),
    ] {
        shapes.push(shape(channels, extent, (3, 1, 1)));
    }
    shapes
}

#[test]
fn naive_gradients_are_those_of_finite_differences() {
    for s in [shape((2, 2, 3), (4, 3), (3, 2, 1)), shape((1, 2, 2), (5, 4), (3, 1, 1))] {
        let (x, w) = (double(&noise(s.input_len(), 1)), double(&noise(s.weight_len(), 2)));
        let gy = double(&noise(s.output_len(), 3));
        let dot = |y: Vec<f64>| y.iter().zip(&gy).map(|(y, g)| y * g).sum::<f64>();
        let (gx, gw) = naive_backward(&s, &x, &w, &gy);
        for (gradient, by_difference) in [
            (gx, finite_differences(&x, |x| dot(naive_forward(&s, x, &w)))),
            (gw, finite_differences(&w, |w| dot(naive_forward(&s, &x, w)))),
        ] {
            assert!(gradient.iter().zip(&by_difference).all(|(a, b)| (a - b).abs() < 1e-7));
        }
    }
}

#[test]
fn every_level_agrees_with_the_naive_convolution() {
    for s in grid() {
        let (x, w) = (noise(s.input_len(), 1), noise(s.weight_len(), 2));
        let gy = noise(s.output_len(), 3);
        let y_expected = naive_forward(&s, &double(&x), &double(&w));
        let (mut gx_expected, mut gw_expected) = naive_backward(&s, &double(&x), &double(&w), &double(&gy));
        // Gradients accumulate onto what is there.
        let (gx_before, gw_before) = (noise(x.len(), 4), noise(w.len(), 5));
        gx_expected
            .iter_mut()
            .zip(&gx_before)
            .for_each(|(g, &b)| *g += f64::from(b));
        gw_expected
            .iter_mut()
            .zip(&gw_before)
            .for_each(|(g, &b)| *g += f64::from(b));
        // Long sums round more often.
        let tolerance = 1e-5 * ((s.in_channels.max(s.out_channels) * s.kernel * s.kernel) as f64 / 1e3).max(1.0);
        at_every_level(|level| {
            let mut y = vec![f32::NAN; y_expected.len()];
            conv2d_forward(&s, &x, &w, &mut y);
            assert_close(&format!("y, {level}, {s:?}"), &y, &y_expected, tolerance);
            let mut gx = gx_before.clone();
            conv2d_backward_input(&s, &w, &gy, &mut gx);
            assert_close(&format!("gx, {level}, {s:?}"), &gx, &gx_expected, tolerance);
            let mut gw = gw_before.clone();
            conv2d_backward_weight(&s, &x, &gy, &mut gw);
            assert_close(&format!("gw, {level}, {s:?}"), &gw, &gw_expected, 2e-5);
        });
    }
}

/// A committed layer is exact with every method: its inputs are -1 and 1, and its outputs are integers.
#[test]
fn sums_of_signs_are_exact() {
    for s in [
        shape((2, 64, 32), (8, 8), (3, 1, 1)),
        shape((1, 512, 16), (4, 4), (3, 1, 1)),
        shape((2, 8, 8), (8, 8), (3, 1, 1)),
    ] {
        let sign = |x: f32| if x >= 0.0 { 1.0 } else { -1.0 };
        let x: Vec<f32> = noise(s.input_len(), 1).into_iter().map(sign).collect();
        let w: Vec<f32> = noise(s.weight_len(), 2).into_iter().map(sign).collect();
        let expected = naive_forward(&s, &double(&x), &double(&w));
        at_every_level(|level| {
            let mut y = vec![f32::NAN; s.output_len()];
            conv2d_forward(&s, &x, &w, &mut y);
            assert_eq!(double(&y), expected, "{level}, {s:?}");
        });
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for s in [
        shape((33, 16, 16), (16, 16), (3, 1, 1)),
        shape((5, 24, 40), (16, 16), (3, 2, 1)),
        shape((32, 96, 64), (4, 4), (3, 1, 1)),
        shape((9, 64, 128), (8, 8), (1, 2, 0)),
    ] {
        let (x, w) = (noise(s.input_len(), 1), noise(s.weight_len(), 2));
        let gy = noise(s.output_len(), 3);
        at_every_level(|level| {
            same_bits_whatever_the_threads(|| {
                stompp_kernels::simd::with_level(level, || {
                    let mut y = vec![0.0; gy.len()];
                    conv2d_forward(&s, &x, &w, &mut y);
                    let mut gx = vec![0.0; x.len()];
                    conv2d_backward_input(&s, &w, &gy, &mut gx);
                    let mut gw = vec![0.0; w.len()];
                    conv2d_backward_weight(&s, &x, &gy, &mut gw);
                    [y, gx, gw].concat()
                })
            });
        });
    }
}

#[test]
fn empty_tensors_are_no_trouble() {
    let s = shape((0, 3, 4), (5, 5), (3, 1, 1));
    conv2d_forward(&s, &[], &[0.0; 108], &mut []);
    conv2d_backward_input(&s, &[0.0; 108], &[], &mut []);
    let mut gw = [1.0; 108];
    conv2d_backward_weight(&s, &[], &[], &mut gw);
    assert_eq!(gw, [1.0; 108]);
}

#[test]
fn sizes_are_counted_as_documented() {
    let s = shape((32, 64, 128), (32, 32), (3, 2, 1));
    assert_eq!((s.out_height(), s.out_width()), (16, 16));
    assert_eq!(s.input_len(), 32 * 64 * 32 * 32);
    assert_eq!(s.weight_len(), 128 * 64 * 9);
    assert_eq!(s.output_len(), 32 * 128 * 16 * 16);
    assert_eq!(s.macs(), 32 * 128 * 16 * 16 * 64 * 9);
}

#[test]
#[should_panic(expected = "length of `w` is 3, its shape needs 4")]
fn a_length_that_does_not_fit_panics() {
    conv2d_forward(
        &shape((1, 1, 4), (2, 2), (1, 1, 0)),
        &[0.0; 4],
        &[0.0; 3],
        &mut [0.0; 16],
    );
}

#[test]
#[should_panic(expected = "does not fit an input of 2 padded to 4")]
fn a_kernel_larger_than_the_padded_input_panics() {
    shape((1, 1, 1), (2, 2), (5, 1, 1)).out_height();
}

#[test]
fn linear_agrees_with_its_formula() {
    for (batch, inputs, outputs) in [(1, 1, 1), (7, 13, 10), (32, 64, 100), (3, 300, 5)] {
        let (x, w) = (noise(batch * inputs, 1), noise(outputs * inputs, 2));
        let (b, gy) = (noise(outputs, 3), noise(batch * outputs, 4));
        let at = |slice: &[f32], i: usize| f64::from(slice[i]);
        let mut y_expected = vec![0.0; gy.len()];
        let (mut gx_expected, mut gw_expected) = (vec![1.0; x.len()], vec![1.0; w.len()]);
        let mut gb_expected = vec![1.0; outputs];
        for (n, o) in (0..batch).flat_map(|n| (0..outputs).map(move |o| (n, o))) {
            y_expected[n * outputs + o] += at(&b, o);
            gb_expected[o] += at(&gy, n * outputs + o);
            for i in 0..inputs {
                y_expected[n * outputs + o] += at(&x, n * inputs + i) * at(&w, o * inputs + i);
                gx_expected[n * inputs + i] += at(&gy, n * outputs + o) * at(&w, o * inputs + i);
                gw_expected[o * inputs + i] += at(&gy, n * outputs + o) * at(&x, n * inputs + i);
            }
        }
        at_every_level(|level| {
            let mut y = vec![f32::NAN; gy.len()];
            linear_forward(batch, inputs, outputs, &x, &w, &b, &mut y);
            assert_close(&format!("y, {level}"), &y, &y_expected, 1e-5);
            let (mut gx, mut gw, mut gb) = (vec![1.0; x.len()], vec![1.0; w.len()], vec![1.0; outputs]);
            linear_backward(
                Slices::ONE,
                batch,
                inputs,
                outputs,
                &x,
                &w,
                &gy,
                Some(&mut gx),
                &mut gw,
                &mut gb,
            );
            assert_close(&format!("gx, {level}"), &gx, &gx_expected, 1e-5);
            assert_close(&format!("gw, {level}"), &gw, &gw_expected, 1e-5);
            assert_close(&format!("gb, {level}"), &gb, &gb_expected, 1e-5);
            // Without the gradient of the input the others are the same.
            let (mut gw_alone, mut gb_alone) = (vec![1.0; w.len()], vec![1.0; outputs]);
            linear_backward(
                Slices::ONE,
                batch,
                inputs,
                outputs,
                &x,
                &w,
                &gy,
                None,
                &mut gw_alone,
                &mut gb_alone,
            );
            assert_eq!((gw_alone, gb_alone), (gw, gb));
        });
    }
}
