//! Layers with float inputs: full-precision convolutions, linear layers, and convolutions with weights of -1 and +1.
//!
//! Each sum goes over a patch in the order (channel, row, column), in blocks of [`BLOCK`] products; the blocks are added in order. It
//! uses fused multiply-add. This is the trainer's order, so the sums are bitwise equal.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod vectors;

use super::{
    tail::{Arithmetic, Portable, RowWriter, Values, bytes_of_pixel, sign, signs},
    window::Windows,
};
use crate::{run::ValueLocation, simd::SimdLevel};
use alloc::vec::Vec;
use core::ops::Range;

/// Number of products in a block.
const BLOCK: usize = 256;
/// Pixels that use a block of weights before the next block is loaded. A multiple of the pixels of every tile.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const PIXELS: usize = 48;

/// A layer with float inputs that is ready to run.
pub(crate) struct Dense {
    pub(crate) windows: Windows,
    pub(crate) outputs: usize,
    weight: Weight,
    /// The data of the vector methods; absent at [`SimdLevel::Portable`].
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    prepared: Option<Prepared>,
}

/// The data of a layer for a vector level.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
struct Prepared {
    panels: Panels,
    padded: Padded,
}

/// The parameters of a layer.
pub(crate) struct Weight {
    /// Position in the file: floats (O, C, K, K), or bits (O, K, K, bytes).
    pub(crate) at: Range<usize>,
    pub(crate) is_bits: bool,
    pub(crate) bias: Option<Vec<f32>>,
}

/// An image and the output of [`Dense::stage`].
#[derive(Clone, Copy)]
pub(crate) struct StagedFloats<'a> {
    pub(crate) view: Values<'a>,
    pub(crate) padded: &'a [f32],
}

/// Weights in the layout of a vector level.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
enum Panels {
    /// The floats of each panel of channels, (step, channel).
    Floats(Vec<f32>),
    /// One number per panel and step, with one bit per channel.
    Bits(Vec<u32>),
}

impl Dense {
    /// Prepares a layer with `weight` in `file` and its input at `place`.
    pub(crate) fn new(
        level: SimdLevel,
        windows: Windows,
        place: ValueLocation,
        outputs: usize,
        file: &[u8],
        weight: Weight,
    ) -> Self {
        let _ = (level, place, file);
        Self {
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            prepared: vectors::width(level).map(|width| Prepared {
                panels: vectors::panels(&windows, outputs, &weight, width, file),
                padded: Padded::new(&windows, place),
            }),
            windows,
            outputs,
            weight,
        }
    }

    /// Number of floats that [`Dense::stage`] writes.
    pub(crate) fn staged_len(&self) -> usize {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if let Some(prepared) = &self.prepared {
            return prepared.padded.len();
        }
        0
    }

    /// Numbers of floats that a task needs for a patch, for sums and for the weights of a block.
    pub(crate) fn task_len(&self) -> [usize; 3] {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if self.prepared.is_some() {
            return [0, PIXELS * 32, BLOCK * 32];
        }
        [self.windows.entries(), self.outputs, 0]
    }

    /// Prepares an image for all tasks. `staged` has at least [`Dense::staged_len`] entries.
    pub(crate) fn stage(&self, input: Values<'_>, staged: &mut [f32]) {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if let Some(prepared) = &self.prepared {
            prepared.padded.stage(input, staged);
        }
        let _ = (input, staged);
    }

    /// Computes `rows` of the output. `memory` has the lengths of [`Dense::task_len`].
    pub(crate) fn run(
        &self,
        level: SimdLevel,
        file: &[u8],
        rows: Range<usize>,
        input: StagedFloats<'_>,
        memory: [&mut [f32]; 3],
        sink: &mut RowWriter<'_>,
    ) {
        let [patch, sums, block] = memory;
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if let Some(prepared) = &self.prepared {
            let values = prepared.padded.values(input);
            return vectors::run(self, prepared, level, rows, values, [sums, block], sink);
        }
        let _ = (level, input.padded, block);
        self.run_portable(&file[self.weight.at.clone()], rows, input.view, patch, sums, sink);
    }

    fn run_portable(
        &self,
        weight: &[u8],
        rows: Range<usize>,
        input: Values<'_>,
        patch: &mut [f32],
        sums: &mut [f32],
        sink: &mut RowWriter<'_>,
    ) {
        let w = &self.windows;
        let steps = w.entries();
        let (patch, sums) = (&mut patch[..steps], &mut sums[..self.outputs]);
        let area = w.kernel[0] * w.kernel[1];
        let of_pixel = bytes_of_pixel(w.input[0]);
        for (row, column) in rows.flat_map(|row| (0..w.output[1]).map(move |column| (row, column))) {
            gather(w, input, row, column, patch);
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum = if self.weight.is_bits {
                    let kernel = &weight[channel * area * of_pixel..][..area * of_pixel];
                    let bit = |step: usize| {
                        let (input, tap) = (step / area, step % area);
                        kernel[tap * of_pixel + input / 8] >> (input % 8) & 1 == 1
                    };
                    blocks(patch, |step, x, sum| if bit(step) { sum + x } else { sum - x })
                } else {
                    let kernel = weight[channel * steps * 4..][..steps * 4].as_chunks().0;
                    blocks(patch, |step, x, sum| {
                        Portable::mul_add(x, f32::from_le_bytes(kernel[step]), sum)
                    })
                };
            }
            let pixel = row * w.output[1] + column;
            for first in (0..self.outputs).step_by(32) {
                let sums = &mut sums[first..self.outputs.min(first + 32)];
                self.add_bias(first, sums);
                sink.write::<Portable>(pixel, first, sums);
            }
        }
    }

    #[inline(always)]
    fn add_bias(&self, first: usize, sums: &mut [f32]) {
        if let Some(bias) = &self.weight.bias {
            sums.iter_mut().zip(&bias[first..]).for_each(|(sum, bias)| *sum += bias);
        }
    }
}

/// Computes the sum over a patch, block by block. `add` gets the step, the entry and the current sum.
fn blocks(patch: &[f32], add: impl Fn(usize, f32, f32) -> f32) -> f32 {
    let of_block = |(number, block): (usize, &[f32])| {
        let steps = number * BLOCK..;
        steps.zip(block).fold(0.0, |sum, (step, x)| add(step, *x, sum))
    };
    patch
        .chunks(BLOCK)
        .enumerate()
        .map(of_block)
        .reduce(|sum, block| sum + block)
        .unwrap_or(0.0)
}

/// Copies the entries of a patch, (channel, row, column). Padding is 0.
#[inline(always)]
fn gather(w: &Windows, input: Values<'_>, row: usize, column: usize, patch: &mut [f32]) {
    let [channels, height, width] = w.input;
    let area = w.kernel[0] * w.kernel[1];
    let (rows, columns) = (w.rows(row), w.columns(column));
    if rows.len() * columns.len() < area {
        patch.fill(0.0);
    }
    for tap_row in rows {
        if columns.is_empty() {
            continue;
        }
        let in_row = w.row(row, tap_row);
        let start = in_row * width + w.column(column, columns.start);
        let first_tap = tap_row * w.kernel[1] + columns.start;
        match input {
            Values::Image(values) => {
                for (channel, patch) in patch.chunks_exact_mut(area).enumerate() {
                    let from = &values[channel * height * width + start..][..columns.len()];
                    patch[first_tap..][..columns.len()].copy_from_slice(from);
                }
            }
            Values::Floats(values) => {
                for (tap, pixel) in
                    (first_tap..).zip(values[start * channels..].chunks_exact(channels).take(columns.len()))
                {
                    if area == 1 {
                        patch.copy_from_slice(pixel);
                    } else {
                        let of_tap = patch[tap..].iter_mut().step_by(area);
                        of_tap.zip(pixel).for_each(|(to, from)| *to = *from);
                    }
                }
            }
            Values::Bits(bytes) => {
                let of_pixel = bytes_of_pixel(channels);
                for (tap, pixel) in
                    (first_tap..).zip(bytes[start * of_pixel..].chunks_exact(of_pixel).take(columns.len()))
                {
                    if area == 1 {
                        for (patch, byte) in patch.chunks_mut(8).zip(pixel) {
                            patch.copy_from_slice(&signs(*byte)[..patch.len()]);
                        }
                    } else {
                        let of_tap = patch[tap..].iter_mut().step_by(area);
                        of_tap
                            .enumerate()
                            .for_each(|(channel, to)| *to = sign(pixel[channel / 8] >> (channel % 8) & 1 == 1));
                    }
                }
            }
        }
    }
}

/// The positions of a patch's entries in the padded image.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
struct Padded {
    /// Channels, rows and columns without padding.
    shape: [usize; 3],
    padding: usize,
    kernel: [usize; 2],
    stride: usize,
    /// Whether the input must be copied, because it is bits or needs padding.
    is_copy: bool,
    /// Distances between neighbouring channels, rows and columns.
    steps: [usize; 3],
    /// For each entry of a patch, (channel, row, column): its distance from the first entry.
    reads: Vec<usize>,
    last_read: usize,
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
impl Padded {
    fn new(w: &Windows, place: ValueLocation) -> Self {
        let [channels, height, width] = w.input;
        let [rows, columns] = [height, width].map(|side| side + 2 * w.padding);
        // The same order as the input: (C, H, W) or (H, W, C).
        let steps = match place {
            ValueLocation::Image => [rows * columns, columns, 1],
            ValueLocation::Bits(_) | ValueLocation::Floats(_) => [1, columns * channels, channels],
        };
        let taps = w.kernel[0] * w.kernel[1];
        let reads = (0..channels * taps).map(|entry| {
            let (channel, tap) = (entry / taps, entry % taps);
            channel * steps[0] + tap / w.kernel[1] * steps[1] + tap % w.kernel[1] * steps[2]
        });
        let reads: Vec<usize> = reads.collect();
        Self {
            shape: w.input,
            padding: w.padding,
            kernel: w.kernel,
            stride: w.stride,
            is_copy: w.padding > 0 || matches!(place, ValueLocation::Bits(_)),
            steps,
            last_read: reads.last().copied().unwrap_or(0),
            reads,
        }
    }

    /// Number of floats of the copy.
    fn len(&self) -> usize {
        let [channels, height, width] = self.shape;
        let image = channels * (height + 2 * self.padding) * (width + 2 * self.padding);
        if self.is_copy { image } else { 0 }
    }

    /// Position of the first entry of the patch that starts at `row` and `column`.
    #[inline(always)]
    fn first(&self, row: usize, column: usize) -> usize {
        row * self.steps[1] + column * self.steps[2]
    }

    fn stage(&self, input: Values<'_>, staged: &mut [f32]) {
        if self.is_copy {
            // SAFETY: a layer is prepared for this only if the machine has AVX2.
            unsafe { self.copy(input, &mut staged[..self.len()]) }
        }
    }

    #[target_feature(enable = "avx2")]
    fn copy(&self, input: Values<'_>, staged: &mut [f32]) {
        let [channels, height, width] = self.shape;
        if self.padding > 0 {
            staged.fill(0.0);
        }
        // If the stride is larger than the kernel, some places are never read.
        let is_read = |place: usize, side: usize| (place + self.padding) % self.stride < self.kernel[side];
        for row in (0..height).filter(|row| is_read(*row, 0)) {
            let to = self.first(row + self.padding, self.padding);
            match input {
                Values::Image(values) => {
                    for channel in 0..channels {
                        let from = &values[(channel * height + row) * width..][..width];
                        staged[channel * self.steps[0] + to..][..width].copy_from_slice(from);
                    }
                }
                Values::Floats(values) => {
                    let of_row = width * channels;
                    staged[to..][..of_row].copy_from_slice(&values[row * of_row..][..of_row]);
                }
                Values::Bits(bytes) => {
                    let of_pixel = bytes_of_pixel(channels);
                    let pixels = bytes[row * width * of_pixel..][..width * of_pixel].chunks_exact(of_pixel);
                    let pixels = staged[to..].chunks_exact_mut(channels).zip(pixels).enumerate();
                    for (_, (to, pixel)) in pixels.filter(|(column, _)| is_read(*column, 1)) {
                        for (to, byte) in to.chunks_mut(8).zip(pixel) {
                            to.copy_from_slice(&signs(*byte)[..to.len()]);
                        }
                    }
                }
            }
        }
    }

    /// Returns the values with their padding.
    fn values<'a>(&self, input: StagedFloats<'a>) -> &'a [f32] {
        match input.view {
            Values::Image(values) | Values::Floats(values) if !self.is_copy => values,
            _ => &input.padded[..self.len()],
        }
    }
}
