//! Pooling. The maximum of bits is computed on bits.

use crate::kernels::{
    tail::{MOST, Portable, RowWriter, Values, bytes_of_pixel},
    window::Windows,
};
use core::ops::Range;

/// Lists the input pixels in the window of output pixel (`row`, `column`), row by row.
fn pixels(w: &Windows, row: usize, column: usize) -> impl Iterator<Item = usize> + Clone {
    let (rows, columns) = (w.rows(row), w.columns(column));
    let w = *w;
    rows.flat_map(move |tap| {
        let start = w.row(row, tap) * w.input[2];
        columns.clone().map(move |tap| start + w.column(column, tap))
    })
}

fn places(w: &Windows, rows: Range<usize>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let columns = w.output[1];
    rows.flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

/// Computes the maximum of signs: +1 if any of them is +1. Padding is ignored.
pub(super) fn max_of_bits(w: &Windows, input: &[u8], rows: Range<usize>, sink: &mut RowWriter<'_>) {
    let of_pixel = bytes_of_pixel(w.input[0]);
    let Some(output) = &mut sink.bits else {
        return;
    };
    for ((row, column), output) in places(w, rows).zip(output.chunks_mut(of_pixel)) {
        output.fill(0);
        for pixel in pixels(w, row, column) {
            let bits = &input[pixel * of_pixel..][..of_pixel];
            output.iter_mut().zip(bits).for_each(|(output, bits)| *output |= bits);
        }
    }
}

/// Applies `f` to each output pixel and each block of up to [`MOST`] channels. `f` gets an iterator over the values of the window's
/// pixels and returns the result of the block.
fn each(
    w: &Windows,
    input: Values<'_>,
    rows: Range<usize>,
    sink: &mut RowWriter<'_>,
    f: impl Fn(&mut dyn Iterator<Item = [f32; MOST]>) -> [f32; MOST],
) {
    let [channels, height, width] = w.input;
    for (row, column) in places(w, rows) {
        for first in (0..channels).step_by(MOST) {
            let count = MOST.min(channels - first);
            let mut values = pixels(w, row, column).map(|pixel| {
                let mut values = [0.0; MOST];
                input.read([channels, height * width], pixel, first, &mut values[..count]);
                values
            });
            let mut results = f(&mut values);
            sink.write::<Portable>(row * w.output[1] + column, first, &mut results[..count]);
        }
    }
}

/// Computes the maximum. Of equal values the first is used, as in the trainer.
pub(super) fn max(w: &Windows, input: Values<'_>, rows: Range<usize>, sink: &mut RowWriter<'_>) {
    each(w, input, rows, sink, |pixels| {
        let mut best = pixels.next().unwrap_or([0.0; MOST]);
        for values in pixels {
            best.iter_mut()
                .zip(values)
                .for_each(|(best, value)| *best = if value > *best { value } else { *best });
        }
        best
    });
}

/// Computes the mean. Sums in `f64`.
pub(super) fn average(w: &Windows, input: Values<'_>, rows: Range<usize>, sink: &mut RowWriter<'_>) {
    let count = (w.kernel[0] * w.kernel[1]) as f64;
    each(w, input, rows, sink, |pixels| {
        let mut sums = [0.0; MOST];
        for values in pixels {
            sums.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += f64::from(value));
        }
        sums.map(|sum| (sum / count) as f32)
    });
}
