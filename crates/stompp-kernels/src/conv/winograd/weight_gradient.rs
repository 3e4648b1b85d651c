//! The gradient of a convolution with respect to its weight.

use rayon::prelude::*;

use super::groups::{Group, Tiles};
use super::input::Patches;
use super::product::{FrequencyProduct, ROWS};
use super::weight::{TAPS, WeightGradientTransform};
use super::{FREQUENCIES, frequency_stride};
use crate::conv::ConvShape;
use crate::panel;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, Simd};
use crate::transpose::transpose;

/// Writes or adds the gradient of the weight for one part of the batch. `x` and `gy` are whole images.
pub(in crate::conv) fn part_sums(s: &ConvShape, simd: Simd, x: &[f32], gy: &[f32], gw: &mut [f32], add: bool) {
    let batch = x.len() / s.input().len();
    let tiles = Tiles::new(s, batch, s.in_channels);
    let width = panel::width(simd, s.out_channels);
    let frequency_len = frequency_stride(s.in_channels * width);
    let panel_len = FREQUENCIES * frequency_len;
    let mut sums = Scratch::new(s.out_channels.div_ceil(width) * panel_len);
    for (number, group) in tiles.groups().enumerate() {
        let patches = Patches::new(simd, &tiles, &group, s.in_channels, x);
        sums.par_chunks_mut(panel_len).enumerate().for_each(|(panel, sums)| {
            let channels = panel * width..s.out_channels.min((panel + 1) * width);
            let gradients = transformed(s, simd, &tiles, &group, width, channels, gy);
            for (frequency, out) in sums.chunks_mut(frequency_len).enumerate() {
                let of_frequency = patches.tiles * width;
                let panel = &gradients[frequency * frequency_stride(of_frequency)..][..of_frequency];
                product(simd, &patches, frequency, s.in_channels, width, panel, out, number > 0);
            }
        });
    }
    sums.par_chunks(panel_len)
        .zip(gw.par_chunks_mut(width * s.in_channels * TAPS))
        .for_each(|(u, gw)| {
            let mut taps = Scratch::new(s.in_channels * TAPS * width);
            simd.run(WeightGradientTransform {
                width,
                u,
                taps: &mut taps,
            });
            let patch = s.in_channels * TAPS;
            let lanes = gw.len() / patch;
            transpose(simd, [patch, lanes], (&taps, width), (gw, patch), add);
        });
}

/// Computes `out[channel][lane] (+)= sum over tiles` for one frequency.
#[allow(clippy::too_many_arguments)]
fn product(
    simd: Simd,
    patches: &Patches,
    frequency: usize,
    channels: usize,
    width: usize,
    panel: &[f32],
    out: &mut [f32],
    add: bool,
) {
    macro_rules! product {
        ($block:literal) => {
            simd.run(FrequencyProduct::<$block, 1> {
                width,
                groups: channels / ROWS,
                steps: patches.tiles,
                steps_of_block: patches.block,
                x_group: ROWS * $block,
                x_block: patches.block_len(),
                x: patches.frequency(frequency),
                panel,
                out,
                add,
            })
        };
    }
    match patches.block {
        32 => product!(32),
        16 => product!(16),
        other => unreachable!("blocks of {other} tiles"),
    }
}

/// Computes `A gy A^T` for the tiles of a group: `(frequency, tile, lane)`, with a lane for each of `channels`.
fn transformed(
    s: &ConvShape,
    simd: Simd,
    tiles: &Tiles,
    group: &Group,
    width: usize,
    channels: std::ops::Range<usize>,
    gy: &[f32],
) -> Scratch {
    let plane = tiles.plane();
    let rows = 2 * group.rows.start * tiles.width()..2 * group.rows.end * tiles.width();
    let mut pixels = Scratch::new(group.images.len() * rows.len() * width);
    if channels.len() < width {
        pixels.fill(0.0);
    }
    for (image, pixels) in group.images.clone().zip(pixels.chunks_mut(rows.len() * width)) {
        let src = &gy[(image * s.out_channels + channels.start) * plane + rows.start..];
        transpose(simd, [channels.len(), rows.len()], (src, plane), (pixels, width), false);
    }
    let mut gradients = Scratch::new(FREQUENCIES * frequency_stride(tiles.len(group) * width));
    simd.run(Transform {
        columns: tiles.columns,
        width,
        pixels: &pixels,
        gradients: &mut gradients,
    });
    gradients
}

struct Transform<'a> {
    /// Tiles in a row.
    columns: usize,
    /// Lanes.
    width: usize,
    /// `(row, column, lane)`.
    pixels: &'a [f32],
    /// `(frequency, tile, lane)`.
    gradients: &'a mut [f32],
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (width, row) = (self.width, 2 * self.columns * self.width);
        let frequency = self.gradients.len() / FREQUENCIES;
        for (tile_row, rows) in self.pixels.chunks(2 * row).enumerate() {
            for column in 0..self.columns {
                for lane in (0..width).step_by(L::LANES) {
                    let pixel =
                        |y: usize, x: usize| rows[y * row + (2 * column + x) * width + lane..][..L::LANES].as_ptr();
                    let to = (tile_row * self.columns + column) * width + lane;
                    // SAFETY: the caller guarantees the instructions.
                    unsafe {
                        let left = spread::<L>(L::load(pixel(0, 0)), L::load(pixel(1, 0)));
                        let right = spread::<L>(L::load(pixel(0, 1)), L::load(pixel(1, 1)));
                        for (y, (&left, &right)) in left.iter().zip(&right).enumerate() {
                            for (x, v) in spread::<L>(left, right).into_iter().enumerate() {
                                let at = (4 * y + x) * frequency + to;
                                L::store(self.gradients[at..][..L::LANES].as_mut_ptr(), v);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Computes `A` times a column of two entries.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn spread<L: Lanes>(a: L::Vector, b: L::Vector) -> [L::Vector; 4] {
    // SAFETY: the caller guarantees the instructions.
    unsafe { [a, L::add(a, b), L::sub(a, b), L::sub(L::splat(0.0), b)] }
}
