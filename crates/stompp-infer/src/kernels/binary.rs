//! Binary convolutions by exclusive or and population count.
//!
//! The dot product of two vectors of `n` signs that differ in `d` places is `n - 2 d`. Padding is 0, which is not a sign. The portable
//! method skips it. The vector methods count it as -1 and correct the result with tables for the windows at the border.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
use super::{lookup::Lookup, planes::Planes, popcount::Popcount};
use super::{
    tail::{Portable, RowWriter, bytes_of_pixel},
    window::Windows,
};
use crate::simd::SimdLevel;
use alloc::vec::Vec;
use core::ops::Range;

/// A binary convolution that is ready to run.
pub(crate) struct BinaryConv {
    pub(crate) windows: Windows,
    pub(crate) outputs: usize,
    /// Position of the weight in the file.
    weight: Range<usize>,
    /// The smallest sums that give +1, one per channel. With a shortcut of signs: first for a shortcut of -1, then for +1. If absent,
    /// the sums are converted to floats.
    thresholds: Option<Vec<i32>>,
    way: CountMethod,
}

/// The method that counts bits.
enum CountMethod {
    Portable,
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Lookup(Lookup),
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Planes(Planes),
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Popcount(Popcount),
}

/// Largest kernel of the vector methods. The size of their border tables grows with its square.
const LARGEST_KERNEL: usize = 7;
/// Largest number of products in a sum of the vector methods, which count in 16 bits.
const MOST_PRODUCTS: usize = i16::MAX as usize - 1;

impl BinaryConv {
    /// Prepares a convolution whose weight is at `weight` in `file`.
    pub(crate) fn new(
        level: SimdLevel,
        windows: Windows,
        outputs: usize,
        file: &[u8],
        weight: Range<usize>,
        thresholds: Option<Vec<i32>>,
    ) -> Self {
        let fits = windows.kernel[0] <= LARGEST_KERNEL && windows.entries() <= MOST_PRODUCTS;
        let bits = &file[weight.clone()];
        let way = match (level, &thresholds) {
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            (SimdLevel::Avx2, Some(thresholds)) if fits && Planes::is_suitable(&windows) => {
                CountMethod::Planes(Planes::new(&windows, outputs, bits, thresholds))
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            (SimdLevel::Avx2, _) if fits => {
                CountMethod::Lookup(Lookup::new(&windows, outputs, bits, thresholds.as_deref()))
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            (SimdLevel::Avx512, _) if fits => {
                CountMethod::Popcount(Popcount::new(&windows, outputs, bits, thresholds.as_deref()))
            }
            _ => {
                let _ = (fits, bits);
                CountMethod::Portable
            }
        };
        Self {
            windows,
            outputs,
            weight,
            thresholds,
            way,
        }
    }

    /// Bytes of the padded image that [`BinaryConv::stage`] writes.
    pub(crate) fn staged_len(&self) -> usize {
        match &self.way {
            CountMethod::Portable => 0,
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Planes(planes) => planes.staged_len(),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            _ => PaddedLayout::new(&self.windows).len(),
        }
    }

    /// Entries of the table that [`BinaryConv::stage`] writes.
    pub(crate) fn table_len(&self) -> usize {
        match self.way {
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Lookup(_) => PaddedLayout::new(&self.windows).padded(),
            _ => 0,
        }
    }

    /// Numbers of words, table offsets and bytes that a task needs.
    pub(crate) fn task_len(&self) -> [usize; 3] {
        match &self.way {
            CountMethod::Portable => [0; 3],
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Lookup(lookup) => [0, lookup.task_len(), 0],
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Planes(planes) => [0, 0, planes.task_len()],
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Popcount(popcount) => [popcount.task_len(), 0, 0],
        }
    }

    /// Prepares an image for all tasks. `staged` has at least [`BinaryConv::staged_len`] bytes, `table` at least
    /// [`BinaryConv::table_len`] entries.
    pub(crate) fn stage(&self, input: &[u8], staged: &mut [u8], table: &mut [u32]) {
        match &self.way {
            CountMethod::Portable => {
                let _ = (input, staged, table);
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Lookup(_) => {
                let staging = PaddedLayout::new(&self.windows);
                staging.pad(input, staged);
                super::lookup::tables(&staging, staged, table);
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Planes(planes) => planes.stage(input, staged),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Popcount(_) => PaddedLayout::new(&self.windows).pad(input, staged),
        }
    }

    /// Computes `rows` of the output.
    pub(crate) fn run(
        &self,
        file: &[u8],
        rows: Range<usize>,
        input: StagedBits<'_>,
        task: TaskBuffers<'_>,
        sink: &mut RowWriter<'_>,
    ) {
        match &self.way {
            CountMethod::Portable => {
                let _ = (input.staged, input.table, task.words, task.offsets, task.bytes);
                self.run_portable(&file[self.weight.clone()], rows, input.bits, sink);
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Lookup(lookup) => lookup.run(&self.windows, rows, input.table, task.offsets, sink),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Planes(planes) => planes.run(&self.windows, rows, input.staged, task.bytes, sink),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            CountMethod::Popcount(popcount) => popcount.run(&self.windows, rows, input.staged, task.words, sink),
        }
    }

    fn run_portable(&self, weight: &[u8], rows: Range<usize>, input: &[u8], sink: &mut RowWriter<'_>) {
        let w = &self.windows;
        let [channels, _, in_width] = w.input;
        let of_pixel = bytes_of_pixel(channels);
        let kernel_row = w.kernel[1] * of_pixel;
        let thresholds = self.thresholds.as_deref();
        let second = |channel: usize, residual: u32| {
            let of_plus = thresholds.is_some_and(|t| t.len() > self.outputs) && residual >> (channel % 32) & 1 == 1;
            if of_plus { self.outputs + channel } else { channel }
        };
        for (row, column) in rows.flat_map(|row| (0..w.output[1]).map(move |column| (row, column))) {
            let (inner_rows, inner) = (w.rows(row), w.columns(column));
            let products = (channels * inner_rows.len() * inner.len()) as i32;
            let pixel = row * w.output[1] + column;
            let sum = |channel: usize| {
                let kernel = &weight[channel * w.kernel[0] * kernel_row..][..w.kernel[0] * kernel_row];
                let differing = inner_rows.clone().map(|tap| {
                    let from = (w.row(row, tap) * in_width + w.column(column, inner.start)) * of_pixel;
                    let len = inner.len() * of_pixel;
                    differing(
                        &input[from..][..len],
                        &kernel[tap * kernel_row + inner.start * of_pixel..][..len],
                    )
                });
                products - 2 * differing.sum::<u32>() as i32
            };
            for first in (0..self.outputs).step_by(32) {
                let last = self.outputs.min(first + 32);
                match thresholds {
                    Some(thresholds) => {
                        let residual = sink.residual_bits(pixel, first);
                        let mut bits = 0;
                        for channel in first..last {
                            let bit = sum(channel) >= thresholds[second(channel, residual)];
                            bits |= u32::from(bit) << (channel - first);
                        }
                        sink.write_bits(pixel, first, bits);
                    }
                    None => {
                        let mut sums = [0.0; 32];
                        (first..last).for_each(|channel| sums[channel - first] = sum(channel) as f32);
                        sink.write::<Portable>(pixel, first, &mut sums[..last - first]);
                    }
                }
            }
        }
    }
}

/// Counts the bits that differ.
fn differing(a: &[u8], b: &[u8]) -> u32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks(), b.as_chunks());
    let words = a
        .iter()
        .zip(b)
        .map(|(a, b)| (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)).count_ones());
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a ^ b).count_ones());
    words.sum::<u32>() + rest.sum::<u32>()
}

/// An image for a binary convolution: its bits and the output of [`BinaryConv::stage`].
#[derive(Clone, Copy)]
pub(crate) struct StagedBits<'a> {
    pub(crate) bits: &'a [u8],
    pub(crate) staged: &'a [u8],
    pub(crate) table: &'a [u32],
}

/// Memory of one task.
pub(crate) struct TaskBuffers<'a> {
    pub(crate) words: &'a mut [u64],
    pub(crate) offsets: &'a mut [u16],
    pub(crate) bytes: &'a mut [u8],
}

/// The layout of the padded image for the vector methods.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) struct PaddedLayout {
    /// Bytes of a pixel.
    pub(super) of_pixel: usize,
    /// Bytes of a padded row.
    pub(super) row: usize,
    rows: usize,
    in_row: usize,
    padding: usize,
    /// Bytes between the windows of neighbouring output pixels: stride times bytes of a pixel.
    pub(super) step: usize,
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
impl PaddedLayout {
    pub(super) fn new(w: &Windows) -> Self {
        let of_pixel = bytes_of_pixel(w.input[0]);
        Self {
            of_pixel,
            row: (w.input[2] + 2 * w.padding) * of_pixel,
            rows: w.input[1] + 2 * w.padding,
            in_row: w.input[2] * of_pixel,
            padding: w.padding,
            step: w.stride * of_pixel,
        }
    }

    /// Bytes of the padded image.
    pub(super) fn padded(&self) -> usize {
        self.row * self.rows
    }

    /// Number of bytes to write. Zeros follow the image, because some reads go past its end.
    fn len(&self) -> usize {
        self.padded() + self.step.max(8)
    }

    fn pad(&self, input: &[u8], staged: &mut [u8]) {
        let staged = &mut staged[..self.len()];
        if self.padding == 0 {
            let (image, behind) = staged.split_at_mut(self.padded());
            image.copy_from_slice(&input[..self.padded()]);
            behind.fill(0);
            return;
        }
        staged.fill(0);
        let rows = staged[self.padding * self.row..].chunks_mut(self.row);
        for (to, from) in rows.zip(input.chunks(self.in_row)) {
            to[self.padding * self.of_pixel..][..self.in_row].copy_from_slice(from);
        }
    }
}

/// The limits and bases of each output channel, corrected for padding that counts as -1. Windows with the same taps in the padding
/// share a class.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) struct Borders {
    row_class: Vec<usize>,
    column_class: Vec<usize>,
    /// Output channels, rounded up to whole vectors.
    pub(super) lanes: usize,
    /// Number of limits per channel: 1, or 2 with a shortcut of signs, or 0 if sums are converted to floats.
    pub(super) variants: usize,
    /// A bit is set if the number of differing places is below this limit. (class, variant, lane).
    limits: Vec<i16>,
    /// A sum is this base minus twice the number of differing places. (class, lane).
    bases: Vec<f32>,
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
impl Borders {
    pub(super) fn new(w: &Windows, outputs: usize, lanes: usize, bits: &[u8], thresholds: Option<&[i32]>) -> Self {
        let of_pixel = bytes_of_pixel(w.input[0]);
        let area = w.kernel[0] * w.kernel[1];
        let classes = |ranges: &mut dyn Iterator<Item = Range<usize>>| {
            let mut known: Vec<Range<usize>> = Vec::new();
            let of = ranges.map(|range| {
                known.iter().position(|other| *other == range).unwrap_or_else(|| {
                    known.push(range);
                    known.len() - 1
                })
            });
            (of.collect::<Vec<_>>(), known)
        };
        let (mut row_class, rows) = classes(&mut (0..w.output[0]).map(|row| w.rows(row)));
        let (column_class, columns) = classes(&mut (0..w.output[1]).map(|column| w.columns(column)));
        row_class.iter_mut().for_each(|class| *class *= columns.len());
        let variants = thresholds.map_or(0, |thresholds| thresholds.len() / outputs);
        let (mut limits, mut bases) = (Vec::new(), Vec::new());
        for (rows, columns) in rows
            .iter()
            .flat_map(|rows| columns.iter().map(move |columns| (rows, columns)))
        {
            let inside = |tap: usize| rows.contains(&(tap / w.kernel[1])) && columns.contains(&(tap % w.kernel[1]));
            let products = (w.input[0] * rows.len() * columns.len()) as i32;
            let padding = bits.chunks(area * of_pixel).map(|kernel| {
                let taps = kernel.chunks(of_pixel).enumerate().filter(|(tap, _)| !inside(*tap));
                taps.flat_map(|(_, bytes)| bytes)
                    .map(|byte| byte.count_ones() as i32)
                    .sum::<i32>()
            });
            let padding: Vec<i32> = padding.collect();
            match thresholds {
                None => {
                    bases.extend(padding.iter().map(|padding| (products + 2 * padding) as f32));
                    bases.resize(bases.len().next_multiple_of(lanes), 0.0);
                }
                Some(thresholds) => {
                    for thresholds in thresholds.chunks(outputs) {
                        limits.extend(thresholds.iter().zip(&padding).map(|(threshold, padding)| {
                            let threshold = (*threshold).clamp(-products, products + 1);
                            let most = (products + 2 * padding - threshold).div_euclid(2);
                            (most + 1).clamp(0, i16::MAX.into()) as i16
                        }));
                        limits.resize(limits.len().next_multiple_of(lanes), 0);
                    }
                }
            }
        }
        Self {
            row_class,
            column_class,
            lanes,
            variants,
            limits,
            bases,
        }
    }

    fn class(&self, row: usize, column: usize) -> usize {
        self.row_class[row] + self.column_class[column]
    }

    /// Returns the limits of an output pixel: `lanes` for each variant.
    #[inline(always)]
    pub(super) fn limits(&self, row: usize, column: usize) -> &[i16] {
        let len = self.variants * self.lanes;
        &self.limits[self.class(row, column) * len..][..len]
    }

    /// Returns the bases of an output pixel.
    #[inline(always)]
    pub(super) fn bases(&self, row: usize, column: usize) -> &[f32] {
        &self.bases[self.class(row, column) * self.lanes..][..self.lanes]
    }
}
