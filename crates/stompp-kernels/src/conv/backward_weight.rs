//! The gradient of a convolution with respect to its weight.

use rayon::prelude::*;

use super::planes::PlaneLayout;
use super::{ConvShape, winograd};
use crate::elementwise::accumulate;
use crate::panel::{PanelProduct, Row, offset};
use crate::parallel::for_each_piece;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::slices::Slices;
use crate::transpose::transpose;
use crate::{check, panel};
use std::ops::Range;

/// Adds the gradient of a convolution with respect to its weight to `gw`: for every entry of every kernel, the sum over all patches of
/// patch entry times output gradient.
///
/// `x` is `(N, C, H, W)`, `gy` is `(N, O, H', W')`, `gw` is `(O, C, K, K)`.
///
/// The batch is split into parts, which are summed in order. The split depends only on the shape.
///
/// # Panics
///
/// Panics if a length does not fit `s`, or the kernel does not fit the input ([`ConvShape::out_height`]).
pub fn conv2d_backward_weight(s: &ConvShape, x: &[f32], gy: &[f32], gw: &mut [f32]) {
    check::length("x", x.len(), s.input_len());
    check::length("gy", gy.len(), s.output_len());
    check::length("gw", gw.len(), s.weight_len());
    if gw.is_empty() || gy.is_empty() {
        return;
    }
    let simd = Simd::current();
    let width = panel::width(simd, s.out_channels);
    let images = images_per_part(s, s.out_channels.div_ceil(width));
    let read = s.without_unread_pixels(x);
    let (s, x) = read.as_ref().map_or((s, x), |(s, x)| (s, &x[..]));
    let part = |x, gy, gw: &mut [f32], add| {
        if winograd::is_suitable(s) {
            winograd::part_sums(s, simd, x, gy, gw, add);
        } else {
            part_sums(s, simd, width, images, (x, gy), gw, add);
        }
    };
    let (x_part, gy_part) = (images * s.input().len(), images * s.output().len());
    if images >= s.batch {
        return part(x, gy, gw, true);
    }
    let mut sums = Scratch::new(s.batch.div_ceil(images) * gw.len());
    let parts = sums
        .par_chunks_mut(gw.len())
        .zip(x.par_chunks(x_part))
        .zip(gy.par_chunks(gy_part));
    parts.for_each(|((sums, x), gy)| part(x, gy, sums, false));
    let weights = gw.len();
    for_each_piece(gw, |start, gw| {
        for sums in sums.chunks(weights) {
            let sums = &sums[start..][..gw.len()];
            simd.vectorize(
                #[inline(always)]
                || gw.iter_mut().zip(sums).for_each(|(gw, &sum)| *gw += sum),
            );
        }
    });
}

/// As [`conv2d_backward_weight`], but `gw` gets the sum over `slices` of the batch, added in pairs ([`Slices::total`]).
///
/// # Panics
///
/// Panics as [`conv2d_backward_weight`] does.
pub fn conv2d_backward_weight_in_slices(s: &ConvShape, slices: Slices, x: &[f32], gy: &[f32], gw: &mut [f32]) {
    if slices == Slices::ONE {
        return conv2d_backward_weight(s, x, gy, gw);
    }
    check::length("x", x.len(), s.input_len());
    check::length("gy", gy.len(), s.output_len());
    check::length("gw", gw.len(), s.weight_len());
    let mut total = Scratch::new(gw.len());
    sum_of_slices(s, &slices.ranges(s.batch), x, gy, &mut total);
    accumulate(gw, &total);
}

/// Writes the sum over the images of `slices`.
fn sum_of_slices(s: &ConvShape, slices: &[Range<usize>], x: &[f32], gy: &[f32], total: &mut [f32]) {
    if let [images] = slices {
        total.fill(0.0);
        let batch = images.len();
        let (of_x, of_gy) = (s.input().len(), s.output().len());
        let x = &x[images.start * of_x..images.end * of_x];
        let gy = &gy[images.start * of_gy..images.end * of_gy];
        return conv2d_backward_weight(&ConvShape { batch, ..*s }, x, gy, total);
    }
    let (first, second) = slices.split_at(slices.len() / 2);
    let mut other = Scratch::new(total.len());
    rayon::join(
        || sum_of_slices(s, first, x, gy, total),
        || sum_of_slices(s, second, x, gy, &mut other),
    );
    accumulate(total, &other);
}

/// Returns the number of images in a part of the batch. A part fits into the second-level cache. Parts are smaller if threads would have
/// no work, and larger if adding the parts would cost more than it saves.
fn images_per_part(s: &ConvShape, panels: usize) -> usize {
    /// Floats of a part's input.
    const PART: usize = 1 << 17;
    /// Floats of all sums.
    const SUMS: usize = 1 << 20;
    /// Pixels of a part.
    const PIXELS: usize = 512;
    const TASKS: usize = 8;
    let for_threads = TASKS.div_ceil(panels).min(s.batch * s.output().plane / PIXELS);
    let parts = (s.input_len() / PART).max(for_threads).min(SUMS / s.weight_len());
    s.batch.div_ceil(parts.max(1))
}

/// Writes or adds the sums of one part of the batch, of at most `images` images.
fn part_sums(
    s: &ConvShape,
    simd: Simd,
    width: usize,
    images: usize,
    (x, gy): (&[f32], &[f32]),
    gw: &mut [f32],
    add: bool,
) {
    let (x_images, gy_images) = (s.input(), s.output());
    let (patch, pixels) = (s.patch(), gy_images.plane);
    let layout = PlaneLayout::new(
        0..s.in_channels,
        s.in_channels,
        (s.in_height, s.in_width),
        s.padding,
        (s.padding, s.padding),
    );
    let entries = s.taps(s.in_channels).map(|(c, ky, kx)| layout.entry(c, ky, kx));
    let rows: Vec<Row> = entries
        .enumerate()
        .map(|(out, x)| Row { x, out: offset(out) })
        .collect();
    let images = images.min(x.len() / x_images.len());
    let steps: Vec<u32> = layout.grid(images, (s.out_height(), s.out_width()), s.stride).collect();
    let planes = layout.stage(x);
    gw.par_chunks_mut(width * patch).enumerate().for_each(|(number, gw)| {
        let lanes = gw.len() / patch;
        let mut panel = Scratch::new(steps.len() * width);
        if lanes < width {
            panel.fill(0.0);
        }
        for (gy, dst) in gy.chunks(gy_images.len()).zip(panel.chunks_mut(pixels * width)) {
            let src = &gy[number * width * pixels..];
            transpose(simd, [lanes, pixels], (src, pixels), (dst, width), false);
        }
        let mut sums = Scratch::new(patch * width);
        let out = &mut sums;
        PanelProduct {
            width,
            x: &planes,
            rows: &rows,
            steps: &steps,
            panel: &panel,
            out,
            add: false,
        }
        .compute(simd);
        transpose(simd, [patch, lanes], (&sums, width), (gw, patch), add);
    });
}
