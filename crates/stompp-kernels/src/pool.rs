//! Pooling: global average, average over windows, and maximum over windows.

use rayon::prelude::*;

use crate::check;
use crate::elementwise::ChannelShape;

/// Computes the mean of `x` over the inner elements. `x` is `(N, C, inner)`; `y`, `(N, C)`, is overwritten. Sums in `f64`.
///
/// # Panics
///
/// Panics if a length does not fit `s`, or `inner` is 0.
pub fn global_average_pool_forward(s: &ChannelShape, x: &[f32], y: &mut [f32]) {
    check_average(s, "x", x, "y", y);
    for (x, y) in x.chunks(s.inner).zip(y) {
        *y = (x.iter().map(|&x| f64::from(x)).sum::<f64>() / s.inner as f64) as f32;
    }
}

/// Computes `gx += gy / inner` for every element of a channel.
///
/// # Panics
///
/// Panics as [`global_average_pool_forward`] does.
pub fn global_average_pool_backward(s: &ChannelShape, gy: &[f32], gx: &mut [f32]) {
    check_average(s, "gx", gx, "gy", gy);
    for (gx, &gy) in gx.chunks_mut(s.inner).zip(gy) {
        let g = gy / s.inner as f32;
        gx.iter_mut().for_each(|gx| *gx += g);
    }
}

fn check_average(s: &ChannelShape, full_name: &str, full: &[f32], pooled_name: &str, pooled: &[f32]) {
    assert!(s.inner > 0, "`inner` is 0: a mean needs at least one element");
    check::length(full_name, full.len(), s.len());
    check::length(pooled_name, pooled.len(), s.batch * s.channels);
}

/// The sizes of a pooling with square windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Number of images.
    pub batch: usize,
    /// Number of channels.
    pub channels: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Step between neighbouring windows.
    pub stride: usize,
    /// Padding around the input. It is never the maximum. At most half the kernel, so that no window is empty.
    pub padding: usize,
}

impl PoolShape {
    /// Returns the rows of the output: `(in_height + 2 padding - kernel) / stride + 1`.
    ///
    /// # Panics
    ///
    /// Panics if the kernel or stride is 0, the padding exceeds half the kernel, or the kernel exceeds the padded input.
    pub fn out_height(&self) -> usize {
        self.out_extent(self.in_height)
    }

    /// Returns the columns of the output, see [`PoolShape::out_height`].
    ///
    /// # Panics
    ///
    /// Panics as [`PoolShape::out_height`] does.
    pub fn out_width(&self) -> usize {
        self.out_extent(self.in_width)
    }

    fn out_extent(&self, extent: usize) -> usize {
        let padded = extent + 2 * self.padding;
        assert!(
            self.kernel >= 1 && self.stride >= 1 && self.padding <= self.kernel / 2 && self.kernel <= padded,
            "invalid sizes of a pooling: {self:?}",
        );
        (padded - self.kernel) / self.stride + 1
    }

    /// Returns the number of elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.channels * self.in_height * self.in_width
    }

    /// Returns the number of elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.channels * self.out_height() * self.out_width()
    }

    /// Returns the range of rows or columns, of `extent`, in window `i`.
    fn window(&self, i: usize, extent: usize) -> std::ops::Range<usize> {
        let start = i * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(extent)
    }
}

/// Computes the maximum of each window and its position. `argmax` is the index in the input plane, for the gradient.
///
/// `x` is `(N, C, H, W)`; `y` and `argmax`, `(N, C, H', W')`, are overwritten. Of equal values the first is used. A NaN is larger than
/// every other value, as in PyTorch.
///
/// # Panics
///
/// Panics if a length does not fit `s`, a plane has 2^32 elements or more, or if [`PoolShape::out_height`] panics.
pub fn max_pool_forward(s: &PoolShape, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    check::length("x", x.len(), s.input_len());
    check::length("y", y.len(), s.output_len());
    check::length("argmax", argmax.len(), s.output_len());
    let (in_plane, out_plane) = (s.in_height * s.in_width, s.out_height() * s.out_width());
    assert!(u32::try_from(in_plane).is_ok(), "a plane of {in_plane} elements");
    if y.is_empty() {
        return;
    }
    let planes = y
        .par_chunks_mut(out_plane)
        .zip(argmax.par_chunks_mut(out_plane))
        .zip(x.par_chunks(in_plane));
    planes.for_each(|((y, argmax), x)| {
        for (i, (y, argmax)) in y.iter_mut().zip(argmax).enumerate() {
            let columns = s.window(i % s.out_width(), s.in_width);
            let (mut best, mut at) = (f32::NEG_INFINITY, None);
            for row in s.window(i / s.out_width(), s.in_height) {
                for column in columns.clone() {
                    let index = row * s.in_width + column;
                    if x[index] > best || x[index].is_nan() || at.is_none() {
                        (best, at) = (x[index], Some(index));
                        if best.is_nan() {
                            best = f32::INFINITY;
                        }
                    }
                }
            }
            let at = at.expect("a window covers at least one input");
            *y = x[at];
            *argmax = at as u32;
        }
    });
}

/// Computes `gx[argmax] += gy`, plane by plane.
///
/// # Panics
///
/// Panics if a length does not fit `s`, or an index of `argmax` is outside of its plane.
pub fn max_pool_backward(s: &PoolShape, gy: &[f32], argmax: &[u32], gx: &mut [f32]) {
    check::length("gy", gy.len(), s.output_len());
    check::length("argmax", argmax.len(), s.output_len());
    check::length("gx", gx.len(), s.input_len());
    if gy.is_empty() {
        return;
    }
    let (in_plane, out_plane) = (s.in_height * s.in_width, s.out_height() * s.out_width());
    let planes = gx
        .par_chunks_mut(in_plane)
        .zip(gy.par_chunks(out_plane))
        .zip(argmax.par_chunks(out_plane));
    planes.for_each(|((gx, gy), argmax)| {
        for (&gy, &at) in gy.iter().zip(argmax) {
            gx[at as usize] += gy;
        }
    });
}

/// Computes the mean of each window. Sums in `f64`. `x` is `(N, C, H, W)`; `y`, `(N, C, H', W')`, is overwritten. Padding is not
/// supported.
///
/// # Panics
///
/// Panics if a length does not fit `s`, the padding is not 0, or if [`PoolShape::out_height`] panics.
pub fn average_pool_forward(s: &PoolShape, x: &[f32], y: &mut [f32]) {
    check_windows(s, "x", x, "y", y);
    if y.is_empty() {
        return;
    }
    let (in_plane, out_plane) = (s.in_height * s.in_width, s.out_height() * s.out_width());
    let planes = y.par_chunks_mut(out_plane).zip(x.par_chunks(in_plane));
    planes.for_each(|(y, x)| {
        for (i, y) in y.iter_mut().enumerate() {
            let columns = s.window(i % s.out_width(), s.in_width);
            let rows = s.window(i / s.out_width(), s.in_height);
            let window = rows.flat_map(|row| &x[row * s.in_width..][columns.clone()]);
            let sum: f64 = window.map(|&x| f64::from(x)).sum();
            *y = (sum / (s.kernel * s.kernel) as f64) as f32;
        }
    });
}

/// Computes `gx += gy / window size` for every input of each window.
///
/// # Panics
///
/// Panics as [`average_pool_forward`] does.
pub fn average_pool_backward(s: &PoolShape, gy: &[f32], gx: &mut [f32]) {
    check_windows(s, "gx", gx, "gy", gy);
    if gy.is_empty() {
        return;
    }
    let (in_plane, out_plane) = (s.in_height * s.in_width, s.out_height() * s.out_width());
    let planes = gx.par_chunks_mut(in_plane).zip(gy.par_chunks(out_plane));
    planes.for_each(|(gx, gy)| {
        for (i, gy) in gy.iter().enumerate() {
            let columns = s.window(i % s.out_width(), s.in_width);
            for row in s.window(i / s.out_width(), s.in_height) {
                let inputs = &mut gx[row * s.in_width..][columns.clone()];
                inputs
                    .iter_mut()
                    .for_each(|gx| *gx += gy / (s.kernel * s.kernel) as f32);
            }
        }
    });
}

fn check_windows(s: &PoolShape, full_name: &str, full: &[f32], pooled_name: &str, pooled: &[f32]) {
    assert_eq!(s.padding, 0, "an average pool has no padding");
    check::length(full_name, full.len(), s.input_len());
    check::length(pooled_name, pooled.len(), s.output_len());
}
