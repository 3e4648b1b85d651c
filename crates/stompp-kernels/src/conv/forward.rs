//! The convolution itself.

use rayon::prelude::*;

use super::ConvShape;
use super::gather::{Images, Phase, Positions, gather};
use super::planes::Layout;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::{check, panel};

/// `y = x * w`: every output is the product of a patch of `x` with a kernel of `w`.
///
/// `x` is `(N, C, H, W)`, `w` is `(O, C, K, K)`, `y` is `(N, O, H', W')` and is overwritten.
///
/// # Panics
///
/// If a length does not fit `s`, or the kernel does not fit the input ([`ConvShape::out_height`]).
pub fn conv2d_forward(s: &ConvShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    check::length("x", x.len(), s.input_len());
    check::length("w", w.len(), s.weight_len());
    check::length("y", y.len(), s.output_len());
    if y.is_empty() {
        return;
    }
    if s.in_channels == 0 {
        y.fill(0.0);
        return;
    }
    let simd = Simd::current();
    let width = panel::width(simd, s.out_channels);
    let patch = s.patch();

    let mut weights = Scratch::new(s.out_channels.div_ceil(width) * patch * width);
    weights
        .par_chunks_mut(patch * width)
        .zip(w.par_chunks(patch * width))
        .for_each(|(panel, w)| {
            panel::pack(w, patch, w.len() / patch, width, panel);
        });

    let layout = Layout::new(
        0..s.in_channels,
        s.in_channels,
        (s.in_height, s.in_width),
        s.padding,
        (s.padding, s.padding),
    );
    let steps = (0..patch)
        .map(|i| layout.entry(i / (s.kernel * s.kernel), i / s.kernel % s.kernel, i % s.kernel))
        .collect();
    let (rows, columns) = (s.out_height(), s.out_width());
    let images_per_group = s.images_per_group(rows * columns);
    let phase = Phase {
        rows: layout.grid(images_per_group, (rows, columns), s.stride),
        steps,
        weights,
        positions: Positions {
            first: 0,
            rows: 1,
            columns: rows * columns,
            row_step: 0,
            column_step: 1,
        },
    };
    let x = (
        x,
        Images {
            channels: s.in_channels,
            plane: s.in_pixels(),
        },
    );
    let y = (
        y,
        Images {
            channels: s.out_channels,
            plane: rows * columns,
        },
    );
    gather(simd, width, &layout, &[phase], x, y, images_per_group, false);
}
