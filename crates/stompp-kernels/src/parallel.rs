//! When elementwise work is worth several threads, and how it is cut.

use rayon::prelude::*;

/// Elements of a piece. Small enough to balance, large enough to hide what a task costs (about a microsecond).
pub(crate) const PIECE: usize = 1 << 15;

/// Calls `f(start, piece)` for the pieces of `out`, in parallel when there are several.
pub(crate) fn for_each_piece(out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    for_each_piece_of(PIECE, out, f);
}

/// As [`for_each_piece`], with pieces of `size` elements (0 counts as 1).
pub(crate) fn for_each_piece_of(size: usize, out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let size = size.max(1);
    if out.len() <= size {
        f(0, out);
    } else {
        out.par_chunks_mut(size)
            .enumerate()
            .for_each(|(i, piece)| f(i * size, piece));
    }
}
