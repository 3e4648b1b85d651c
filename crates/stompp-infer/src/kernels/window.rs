//! The geometry of the windows of convolutions and pools.

use core::ops::Range;

/// Geometry of windows that move over an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Channels, rows and columns of the input.
    pub(crate) input: [usize; 3],
    /// Rows and columns of a window.
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    /// Rows and columns of the output.
    pub(crate) output: [usize; 2],
}

impl Windows {
    /// For output row `row`: the range of window rows that are inside the input.
    pub(crate) fn rows(&self, row: usize) -> Range<usize> {
        self.inside(row, self.input[1], self.kernel[0])
    }

    /// The same for columns.
    pub(crate) fn columns(&self, column: usize) -> Range<usize> {
        self.inside(column, self.input[2], self.kernel[1])
    }

    fn inside(&self, at: usize, extent: usize, kernel: usize) -> Range<usize> {
        let start = at * self.stride;
        let first = self.padding.saturating_sub(start).min(kernel);
        first..(self.padding + extent).saturating_sub(start).clamp(first, kernel)
    }

    /// For output row `row`: the input row at window row `tap`. It must be inside the input.
    pub(crate) fn row(&self, row: usize, tap: usize) -> usize {
        row * self.stride + tap - self.padding
    }

    /// The same for columns.
    pub(crate) fn column(&self, column: usize, tap: usize) -> usize {
        column * self.stride + tap - self.padding
    }

    /// Number of entries of a window over all channels.
    pub(crate) fn entries(&self) -> usize {
        self.input[0] * self.kernel[0] * self.kernel[1]
    }
}
