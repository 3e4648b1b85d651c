//! Splits elementwise work into pieces for several threads.

use rayon::prelude::*;

/// Elements of a piece. Small enough to balance the load, large enough to hide the cost of a task (about a microsecond).
pub(crate) const PIECE: usize = 1 << 15;

/// Calls `f(start, piece)` for the pieces of `out`, in parallel if there are several.
pub(crate) fn for_each_piece(out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    for_each_piece_of(PIECE, out, f);
}

/// Returns `f(piece)` for the pieces of `x` in order. Runs in parallel if there are several.
pub(crate) fn sums_of_pieces(x: &[f32], f: impl Fn(&[f32]) -> f64 + Sync + Send) -> Vec<f64> {
    if x.len() <= PIECE {
        vec![f(x)]
    } else {
        x.par_chunks(PIECE).map(f).collect()
    }
}

/// Does the same as [`for_each_piece`] with pieces of `size` elements (0 counts as 1).
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
