//! The forward pass of the convolution.

use rayon::prelude::*;

use super::gather::{Gather, TapPhase};
use super::planes::{PixelBlocks, PlaneLayout, Planes};
use super::{ConvShape, winograd};
use crate::panel::{Row, offset};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::transpose::transpose;
use crate::{check, panel};

/// Computes the convolution `y = x * w`: every output is the dot product of a patch of `x` and a kernel of `w`.
///
/// `x` is `(N, C, H, W)`, `w` is `(O, C, K, K)`, `y` is `(N, O, H', W')` and is overwritten.
///
/// # Panics
///
/// Panics if a length does not fit `s`, or the kernel does not fit the input ([`ConvShape::out_height`]).
pub fn conv2d_forward(s: &ConvShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    check::length("x", x.len(), s.input_len());
    check::length("w", w.len(), s.weight_len());
    check::length("y", y.len(), s.output_len());
    if y.is_empty() {
        return;
    }
    if w.is_empty() {
        y.fill(0.0);
        return;
    }
    let simd = Simd::current();
    if winograd::is_suitable(s) {
        return winograd::forward(s, simd, x, w, y);
    }
    if let Some((s, x)) = s.without_unread_pixels(x) {
        return conv2d_forward(&s, &x, w, y);
    }
    let width = panel::width(simd, s.out_channels);
    let (rows, columns) = (s.out_height(), s.out_width());
    let images_per_group = s.images_per_group(rows * columns);
    let gather = |steps: Vec<u32>, rows: &mut dyn Iterator<Item = u32>| Gather {
        simd,
        width,
        phases: vec![TapPhase {
            rows: rows.enumerate().map(|(out, x)| Row { x, out: offset(out) }).collect(),
            steps,
        }],
        weights: pack(s, simd, width, w),
        x: s.input(),
        y: s.output(),
        images_per_group,
        add: false,
    };
    if s.is_pointwise() {
        let blocks = PixelBlocks { images: s.input() };
        gather(
            (0..s.in_channels).map(|c| blocks.entry(c)).collect(),
            &mut blocks.grid(images_per_group),
        )
        .run(|x| Planes::Staged(blocks.stage(x)), x, y);
    } else {
        let layout = PlaneLayout::new(
            0..s.in_channels,
            s.in_channels,
            (s.in_height, s.in_width),
            s.padding,
            (s.padding, s.padding),
        );
        let steps = s
            .taps(s.in_channels)
            .map(|(c, ky, kx)| layout.entry(c, ky, kx))
            .collect();
        gather(steps, &mut layout.grid(images_per_group, (rows, columns), s.stride)).run(|x| layout.stage(x), x, y);
    }
}

/// Packs the weights in panels of output channels, with the patch entries in order.
fn pack(s: &ConvShape, simd: Simd, width: usize, w: &[f32]) -> Scratch {
    let patch = s.patch();
    let mut weights = Scratch::new(s.out_channels.div_ceil(width) * patch * width);
    weights
        .par_chunks_mut(patch * width)
        .zip(w.par_chunks(patch * width))
        .for_each(|(panel, w)| {
            let lanes = w.len() / patch;
            if lanes < width {
                panel.fill(0.0);
            }
            transpose(simd, [lanes, patch], (w, patch), (panel, width), false);
        });
    weights
}
