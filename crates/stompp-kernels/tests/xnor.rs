//! The convolution of bits is exactly equal to the float convolution of the same signs.

mod common;

use common::{at_every_level, noise, same_bits_whatever_the_threads};
use proptest::prelude::*;
use stompp_kernels::simd::with_level;
use stompp_kernels::{BitTensor, BitWeights, ConvShape, conv2d_forward, xnor_conv2d};

fn sign(x: &f32) -> f32 {
    if *x >= 0.0 { 1.0 } else { -1.0 }
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

fn xnor(s: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f32> {
    let x = BitTensor::from_signs(s.batch, s.in_channels, s.in_height, s.in_width, x);
    let w = BitWeights::from_signs(s.out_channels, s.in_channels, s.kernel, w);
    let mut y = vec![f32::NAN; s.output_len()];
    xnor_conv2d(s.stride, s.padding, &x, &w, &mut y);
    y
}

/// Computes both convolutions of the signs of noise. These sums are exact in `f32` in any order.
fn assert_equal(s: &ConvShape) {
    let (x, w) = (noise(s.input_len(), 1), noise(s.weight_len(), 2));
    let (x_signs, w_signs): (Vec<f32>, Vec<f32>) = (x.iter().map(sign).collect(), w.iter().map(sign).collect());
    let mut expected = vec![f32::NAN; s.output_len()];
    conv2d_forward(s, &x_signs, &w_signs, &mut expected);
    at_every_level(|level| assert_eq!(xnor(s, &x, &w), expected, "{level} {s:?}"));
}

#[test]
fn equals_the_float_convolution_of_signs() {
    for channels in [
        (1, 1, 1),
        (2, 64, 64),
        (3, 17, 33),
        (1, 100, 70),
        (2, 128, 16),
        (1, 16, 130),
    ] {
        for extent in [(7, 5), (8, 8), (4, 4)] {
            for window in [
                (1, 1, 0),
                (1, 2, 0),
                (3, 1, 1),
                (3, 1, 0),
                (3, 2, 1),
                (7, 2, 3),
                (2, 2, 0),
                (3, 2, 4),
                (1, 1, 1),
            ] {
                if window.0 <= extent.1 + 2 * window.2 {
                    assert_equal(&shape(channels, extent, window));
                }
            }
        }
    }
    // Rows of a kernel whose pixels share words.
    assert_equal(&shape((2, 40, 16), (5, 6), (3, 1, 1)));
    assert_equal(&shape((1, 96, 8), (5, 4), (3, 2, 1)));
    assert_equal(&shape((2, 512, 8), (3, 3), (3, 1, 1)));
    assert_equal(&shape((1, 2, 2), (1, 1), (1, 1, 0)));
}

#[test]
fn patches_too_long_for_sixteen_bits_are_counted_right() {
    // 65 568 entries, all of which differ.
    let s = shape((1, 65_568, 1), (1, 1), (1, 1, 0));
    at_every_level(|_| {
        assert_eq!(
            xnor(&s, &vec![1.0; s.input_len()], &vec![-1.0; s.weight_len()]),
            [-65_568.0]
        )
    });
    let s = shape((1, 65_535, 1), (1, 1), (1, 1, 0));
    at_every_level(|_| {
        assert_eq!(
            xnor(&s, &vec![1.0; s.input_len()], &vec![-1.0; s.weight_len()]),
            [-65_535.0]
        )
    });
}

#[test]
fn extreme_counts_do_not_overflow() {
    // Every byte, half byte and vector lane at its maximum: all entries differ, or none.
    let s = shape((1, 512, 64), (4, 4), (3, 1, 0));
    at_every_level(|_| {
        assert_eq!(
            xnor(&s, &vec![1.0; s.input_len()], &vec![-1.0; s.weight_len()]),
            vec![-4608.0; s.output_len()]
        );
        assert_eq!(
            xnor(&s, &vec![-1.0; s.input_len()], &vec![-1.0; s.weight_len()]),
            vec![4608.0; s.output_len()]
        );
    });
}

#[test]
fn zero_is_positive_and_nan_is_negative() {
    let x = [
        0.0,
        -0.0,
        f32::NAN,
        -f32::NAN,
        1e-40,
        -1e-40,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let s = shape((1, 1, 1), (1, 8), (1, 1, 0));
    at_every_level(|_| assert_eq!(xnor(&s, &x, &[1.0]), [1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0]));
}

#[test]
fn weights_work_at_another_level_than_they_were_packed_at() {
    let s = shape((2, 70, 40), (6, 6), (3, 1, 1));
    let (x, w) = (noise(s.input_len(), 1), noise(s.weight_len(), 2));
    let expected = xnor(&s, &x, &w);
    at_every_level(|_| {
        let weights = BitWeights::from_signs(s.out_channels, s.in_channels, s.kernel, &w);
        at_every_level(|_| {
            let x = BitTensor::from_signs(s.batch, s.in_channels, s.in_height, s.in_width, &x);
            let mut y = vec![f32::NAN; s.output_len()];
            xnor_conv2d(s.stride, s.padding, &x, &weights, &mut y);
            assert_eq!(y, expected);
        });
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let s = shape((5, 64, 64), (8, 8), (3, 1, 1));
    let (x, w) = (noise(s.input_len(), 1), noise(s.weight_len(), 2));
    at_every_level(|level| same_bits_whatever_the_threads(|| with_level(level, || xnor(&s, &x, &w))));
}

#[test]
fn an_empty_batch_is_no_trouble() {
    let s = shape((0, 64, 8), (4, 4), (3, 1, 1));
    assert_eq!(xnor(&s, &[], &noise(s.weight_len(), 1)), []);
}

#[test]
#[should_panic(expected = "channels of `x` and of `w`")]
fn channels_that_differ_panic() {
    let x = BitTensor::from_signs(1, 2, 1, 1, &[0.0; 2]);
    xnor_conv2d(1, 0, &x, &BitWeights::from_signs(1, 3, 1, &[0.0; 3]), &mut [0.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_shape_equals_the_float_convolution(
        batch in 1usize..3, in_channels in 1usize..140, out_channels in 1usize..70,
        height in 1usize..9, width in 1usize..9, kernel in 1usize..5, stride in 1usize..4, padding in 0usize..3,
    ) {
        let s = shape((batch, in_channels, out_channels), (height, width), (kernel, stride, padding));
        prop_assume!(kernel <= height.min(width) + 2 * padding);
        assert_equal(&s);
    }
}
