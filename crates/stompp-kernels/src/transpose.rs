//! Transposes matrices, between pixels in rows and channels in rows.

use crate::simd::{Kernel, Lanes, Simd};

/// Computes `dst[j * dst_stride + i] = src[i * src_stride + j]` for `i < rows`, `j < columns`, or `+=` if `add`.
///
/// # Panics
///
/// Panics if a slice is too short, or rows overlap.
pub(crate) fn transpose(
    simd: Simd,
    [rows, columns]: [usize; 2],
    (src, src_stride): (&[f32], usize),
    (dst, dst_stride): (&mut [f32], usize),
    add: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(src_stride >= columns && dst_stride >= rows);
    assert!(src.len() >= (rows - 1) * src_stride + columns);
    assert!(dst.len() >= (columns - 1) * dst_stride + rows);
    simd.run(Transpose {
        rows,
        columns,
        src,
        src_stride,
        dst,
        dst_stride,
        add,
    });
}

struct Transpose<'a> {
    rows: usize,
    columns: usize,
    src: &'a [f32],
    src_stride: usize,
    dst: &'a mut [f32],
    dst_stride: usize,
    add: bool,
}

/// Side of the squares that are transposed in registers.
const SIDE: usize = 8;

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        if self.src_stride == 1 {
            return self.only_column();
        }
        let (square_rows, square_columns) = (self.rows / SIDE * SIDE, self.columns / SIDE * SIDE);
        // Eight rows of `dst` at a time, because rows are often whole pages apart.
        for j in (0..square_columns).step_by(SIDE) {
            for i in (0..square_rows).step_by(SIDE) {
                // SAFETY: the caller guarantees the instructions; the square is inside both matrices.
                unsafe { self.square::<L>(i, j) };
            }
        }
        // The rest: squares that overlap earlier ones. Writing an entry twice is harmless.
        if !self.add && self.rows >= SIDE && self.columns >= SIDE {
            let (last_row, last_column) = (self.rows - SIDE, self.columns - SIDE);
            // SAFETY: as above.
            unsafe {
                if square_columns < self.columns {
                    (0..square_rows)
                        .step_by(SIDE)
                        .for_each(|i| self.square::<L>(i, last_column));
                }
                if square_rows < self.rows {
                    (0..square_columns)
                        .step_by(SIDE)
                        .for_each(|j| self.square::<L>(last_row, j));
                    self.square::<L>(last_row, last_column);
                }
            }
        } else {
            self.one_by_one(0..square_rows, square_columns..self.columns);
            self.one_by_one(square_rows..self.rows, 0..self.columns);
        }
    }
}

impl Transpose<'_> {
    /// Transposes the square whose first entry is `(i, j)`.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`, `i + 8 <= rows` and `j + 8 <= columns`.
    #[inline(always)]
    unsafe fn square<L: Lanes>(&mut self, i: usize, j: usize) {
        let src = &self.src[i * self.src_stride + j..];
        let dst = &mut self.dst[j * self.dst_stride + i..];
        // SAFETY: `transpose` has checked that all rows and columns are inside both slices.
        unsafe {
            L::transpose(
                src.as_ptr(),
                self.src_stride,
                dst.as_mut_ptr(),
                self.dst_stride,
                self.add,
            )
        }
    }

    /// Copies a single column without gaps to a single row.
    #[inline(always)]
    fn only_column(&mut self) {
        let (src, dst) = (&self.src[..self.rows], &mut self.dst[..self.rows]);
        if self.add {
            dst.iter_mut().zip(src).for_each(|(dst, &x)| *dst += x);
        } else {
            copy(src, dst);
        }
    }

    #[inline(always)]
    fn one_by_one(&mut self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) {
        for i in rows {
            for j in columns.clone() {
                let (x, out) = (
                    self.src[i * self.src_stride + j],
                    &mut self.dst[j * self.dst_stride + i],
                );
                *out = if self.add { *out + x } else { x };
            }
        }
    }
}

/// Copies `from` to `to`. For rows of a few pixels, for which the call of `memcpy` would be slower than the copy.
#[inline(always)]
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
    from.iter().zip(to).for_each(|(from, to)| *to = *from);
    from_rest.iter().zip(to_rest).for_each(|(from, to)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{SimdLevel, with_level};

    #[test]
    fn every_entry_lands_where_it_belongs_and_nothing_else_changes() {
        for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
            for (rows, columns, gap) in [
                (1, 1, 0),
                (21, 1, 0),
                (8, 8, 3),
                (16, 32, 0),
                (7, 9, 3),
                (25, 16, 1),
                (16, 9, 0),
                (40, 3, 2),
                (0, 5, 0),
            ] {
                let (src_stride, dst_stride) = (columns + gap, rows + 2);
                let src: Vec<f32> = (0..rows * src_stride).map(|i| i as f32).collect();
                for add in [false, true] {
                    let mut dst = vec![0.5; columns * dst_stride];
                    with_level(level, || {
                        let (src, dst) = ((&src[..], src_stride), (&mut dst[..], dst_stride));
                        transpose(Simd::current(), [rows, columns], src, dst, add);
                    });
                    for (at, &x) in dst.iter().enumerate() {
                        let (j, i) = (at / dst_stride, at % dst_stride);
                        let moved = (i * src_stride + j) as f32;
                        let expected = match (i < rows, add) {
                            (false, _) => 0.5,
                            (true, false) => moved,
                            (true, true) => moved + 0.5,
                        };
                        assert_eq!(x, expected, "{level} {rows}x{columns} {add} {i} {j}");
                    }
                }
            }
        }
    }
}
