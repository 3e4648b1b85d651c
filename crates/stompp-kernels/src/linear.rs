//! The fully connected layer, computed as a 1x1 convolution of 1x1 images with a bias.

use crate::check;
use crate::conv::{ConvShape, conv2d_backward_input, conv2d_backward_weight_in_slices, conv2d_forward};
use crate::slices::Slices;
use std::ops::Range;

/// Computes `y = x w^T + b`: `x` is `(batch, inputs)`, `w` is `(outputs, inputs)`, `b` is `(outputs)`. `y`, `(batch, outputs)`, is
/// overwritten.
///
/// # Panics
///
/// Panics if a length does not match.
pub fn linear_forward(batch: usize, inputs: usize, outputs: usize, x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    check::length("b", b.len(), outputs);
    conv2d_forward(&shape(batch, inputs, outputs), x, w, y);
    if outputs > 0 {
        for y in y.chunks_mut(outputs) {
            y.iter_mut().zip(b).for_each(|(y, &b)| *y += b);
        }
    }
}

/// Adds the gradients: `gx += gy w` if `gx` is given, `gw += gy^T x`, `gb += sum of gy over the batch` (summed in `f64`). The sums of
/// the slices of the batch are added in pairs ([`Slices::total`]), those of `gb` as `f32`.
///
/// # Panics
///
/// Panics if a length does not match.
#[allow(clippy::too_many_arguments)]
pub fn linear_backward(
    slices: Slices,
    batch: usize,
    inputs: usize,
    outputs: usize,
    x: &[f32],
    w: &[f32],
    gy: &[f32],
    gx: Option<&mut [f32]>,
    gw: &mut [f32],
    gb: &mut [f32],
) {
    let s = shape(batch, inputs, outputs);
    check::length("gb", gb.len(), outputs);
    conv2d_backward_weight_in_slices(&s, slices, x, gy, gw);
    if let Some(gx) = gx {
        conv2d_backward_input(&s, w, gy, gx);
    }
    let ranges = slices.ranges(batch);
    for (o, gb) in gb.iter_mut().enumerate() {
        let of_slice = |images: &Range<usize>| {
            let gy = gy[images.start * outputs..images.end * outputs].iter();
            gy.skip(o).step_by(outputs).map(|&g| f64::from(g)).sum::<f64>() as f32
        };
        let sums: Vec<f32> = ranges.iter().map(of_slice).collect();
        *gb += slices.total(&sums, |a, b| a + b);
    }
}

fn shape(batch: usize, inputs: usize, outputs: usize) -> ConvShape {
    ConvShape {
        batch,
        in_channels: inputs,
        in_height: 1,
        in_width: 1,
        out_channels: outputs,
        kernel: 1,
        stride: 1,
        padding: 0,
    }
}
