//! The gradient of a convolution in its weight.

use rayon::prelude::*;

use super::ConvShape;
use super::planes::Layout;
use crate::check;
use crate::panel::{self, Offsets, Product};
use crate::scratch::Scratch;
use crate::simd::Simd;

/// `gw +=` for every entry of every kernel, the sum over all patches of patch entry times output gradient.
///
/// `x` is `(N, C, H, W)`, `gy` is `(N, O, H', W')`, `gw` is `(O, C, K, K)`.
///
/// The batch is cut into at most eight parts and the input channels into ranges, by shape alone; parts are summed in
/// order.
///
/// # Panics
///
/// If a length does not fit `s`, or the kernel does not fit the input ([`ConvShape::out_height`]).
pub fn conv2d_backward_weight(s: &ConvShape, x: &[f32], gy: &[f32], gw: &mut [f32]) {
    check::length("x", x.len(), s.input_len());
    check::length("gy", gy.len(), s.output_len());
    check::length("gw", gw.len(), s.weight_len());
    if gw.is_empty() || gy.is_empty() {
        return;
    }
    let simd = Simd::current();
    let width = panel::width(simd, s.out_channels);
    let panels = s.out_channels.div_ceil(width);
    let split = Split::new(s);
    let area = s.kernel * s.kernel;

    // Sums as (channel range, part, panel, patch entry, lane).
    let task_len = panels * split.channels * area * width;
    let mut sums = Scratch::zeros(split.ranges * split.parts * task_len);
    let (x_part, gy_part) = (
        split.images * s.in_channels * s.in_pixels(),
        split.images * s.out_channels * s.out_pixels(),
    );
    sums.par_chunks_mut(task_len).enumerate().for_each(|(task, sums)| {
        let (range, part) = (task / split.parts, task % split.parts);
        let channels = range * split.channels..((range + 1) * split.channels).min(s.in_channels);
        let x = &x[part * x_part..((part + 1) * x_part).min(x.len())];
        let gy = &gy[part * gy_part..((part + 1) * gy_part).min(gy.len())];
        part_sums(s, simd, width, channels, x, gy, sums);
    });

    // Each kernel is `in_channels * area` long; its entries of one range are contiguous.
    let patch = s.patch();
    gw.par_chunks_mut(width * patch).enumerate().for_each(|(panel, gw)| {
        let lanes = gw.len() / patch;
        for range in 0..split.ranges {
            let first = range * split.channels * area;
            let entries = (split.channels * area).min(patch - first);
            for part in 0..split.parts {
                let sums = &sums[(range * split.parts + part) * task_len + panel * split.channels * area * width..];
                panel::unpack(&sums[..entries * width], width, lanes, |lane, entry, sum| {
                    gw[lane * patch + first + entry] += sum;
                });
            }
        }
    });
}

/// How the work is cut: `parts` of the batch, `images` each, times `ranges` of the input channels, `channels` each.
struct Split {
    parts: usize,
    images: usize,
    ranges: usize,
    channels: usize,
}

impl Split {
    fn new(s: &ConvShape) -> Self {
        /// Floats of partial sums that are worth having: they are written, read and added once.
        const SUMS: usize = 1 << 20;
        const TASKS: usize = 16;
        let parts = (SUMS / s.weight_len()).clamp(1, 8).min(s.batch);
        let images = s.batch.div_ceil(parts);
        let parts = s.batch.div_ceil(images);
        let channels = s.in_channels.div_ceil(TASKS.div_ceil(parts));
        Self {
            parts,
            images,
            ranges: s.in_channels.div_ceil(channels),
            channels,
        }
    }
}

/// Adds the sums of one part of the batch and one range of channels: `(panel, patch entry, lane)`.
fn part_sums(
    s: &ConvShape,
    simd: Simd,
    width: usize,
    channels: std::ops::Range<usize>,
    x: &[f32],
    gy: &[f32],
    sums: &mut [f32],
) {
    let (area, pixels) = (s.kernel * s.kernel, s.out_pixels());
    let layout = Layout::new(
        channels.clone(),
        s.in_channels,
        (s.in_height, s.in_width),
        s.padding,
        (s.padding, s.padding),
    );
    let entries: Offsets = (0..channels.len() * area)
        .map(|i| layout.entry(i / area, i % area / s.kernel, i % s.kernel))
        .collect();
    let images = s.images_per_group(pixels);
    let positions = layout.grid(images, (s.out_height(), s.out_width()), s.stride);
    let (x_image, gy_image) = (s.in_channels * s.in_pixels(), s.out_channels * pixels);
    let sums_len = sums.len() / s.out_channels.div_ceil(width);

    for (x, gy) in x.chunks(images * x_image).zip(gy.chunks(images * gy_image)) {
        let planes = layout.stage(x, x_image);
        let steps = x.len() / x_image * pixels;
        let mut panel = Scratch::new(steps * width);
        for (number, sums) in sums.chunks_mut(sums_len).enumerate() {
            let lanes = width.min(s.out_channels - number * width);
            for (gy, panel) in gy.chunks(gy_image).zip(panel.chunks_mut(pixels * width)) {
                panel::pack(&gy[number * width * pixels..], pixels, lanes, width, panel);
            }
            let (x, steps) = (&planes[..], &positions[..steps]);
            Product {
                width,
                x,
                rows: &entries,
                steps,
                panel: &panel,
                out: sums,
                add: true,
            }
            .compute(simd);
        }
    }
}
