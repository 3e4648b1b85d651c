//! The convolution and the gradient with respect to its input.

use rayon::prelude::*;

use super::FREQUENCIES;
use super::groups::{Group, Tiles};
use super::input::Patches;
use super::output::{Outputs, frequency_len};
use super::product::{FrequencyProduct, ROWS};
use super::weight::TransformedKernels;
use crate::conv::ConvShape;
use crate::panel::BLOCK;
use crate::scratch::Scratch;
use crate::simd::Simd;

/// Channels of the output that one task computes: with 64 tiles their sums are 256 KiB.
const CHUNK: usize = 64;

/// Computes `y = x * w`.
pub(in crate::conv) fn forward(s: &ConvShape, simd: Simd, x: &[f32], w: &[f32], y: &mut [f32]) {
    run(s, simd, &TransformedKernels::forward(s, simd, w), x, y, false);
}

/// Adds the gradient with respect to the input to `gx`.
pub(in crate::conv) fn backward_input(s: &ConvShape, simd: Simd, w: &[f32], gy: &[f32], gx: &mut [f32]) {
    run(s, simd, &TransformedKernels::backward(s, simd, w), gy, gx, true);
}

/// Convolves `x` with the transformed kernels.
fn run(s: &ConvShape, simd: Simd, kernels: &TransformedKernels, x: &[f32], y: &mut [f32], add: bool) {
    let tiles = Tiles::new(s, s.batch, kernels.steps);
    let parts = tiles.split(y, kernels.rows, CHUNK);
    let groups: Vec<Group> = tiles.groups().collect();
    groups.into_par_iter().zip(parts).for_each(|(group, chunks)| {
        let patches = Patches::new(simd, &tiles, &group, kernels.steps, x);
        chunks.into_par_iter().enumerate().for_each(|(chunk, mut y)| {
            let first = chunk * CHUNK;
            let channels = CHUNK.min(kernels.rows - first);
            let mut sums = Scratch::new(FREQUENCIES * frequency_len(patches.tiles, patches.block, channels));
            products(simd, kernels, first, channels, &patches, &mut sums);
            simd.run(Outputs {
                tiles: &tiles,
                group: &group,
                channels,
                sums: &sums,
                block: patches.block,
                y: &mut y,
                add,
            });
        });
    });
}

/// Computes `sums`, `(frequency, block, channel, tile of the block)`, for `channels` channels of the output, starting at `first`.
fn products(
    simd: Simd,
    kernels: &TransformedKernels,
    first: usize,
    channels: usize,
    patches: &Patches,
    sums: &mut [f32],
) {
    let block_len = patches.block_len();
    for (frequency, sums) in sums
        .chunks_mut(frequency_len(patches.tiles, patches.block, channels))
        .enumerate()
    {
        let blocks = patches.frequency(frequency).chunks(block_len);
        for (panel, sums) in blocks.zip(sums.chunks_mut(channels * patches.block)) {
            // Steps are split so that their part of the panel stays in the first-level cache.
            for (number, panel) in panel.chunks(BLOCK * patches.block).enumerate() {
                let steps = panel.len() / patches.block;
                simd.run(FrequencyProduct::<1, ROWS> {
                    width: patches.block,
                    groups: channels / ROWS,
                    steps,
                    steps_of_block: steps,
                    x_group: kernels.group_len(),
                    x_block: 0,
                    x: &kernels.groups(frequency, first / ROWS)[number * BLOCK * ROWS..],
                    panel,
                    out: sums,
                    add: number > 0,
                });
            }
        }
    }
}
