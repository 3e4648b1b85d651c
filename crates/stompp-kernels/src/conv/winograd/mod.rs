//! Winograd's minimal filtering, F(2x2, 3x3): four outputs of a 3x3 convolution with 16 multiplications instead of 36.
//!
//! A plane is cut into tiles of 2x2 outputs, each of which reads a 4x4 patch `d`. With
//!
//! ```text
//!       [1  0 -1  0]        [ 1    0    0 ]
//! B^T = [0  1  1  0]    G = [1/2  1/2  1/2]    A^T = [1  1  1  0]
//!       [0 -1  1  0]        [1/2 -1/2  1/2]          [0  1 -1 -1]
//!       [0  1  0 -1]        [ 0    0    1 ]
//! ```
//!
//! the outputs are `A^T ((G g G^T) * (B^T d B)) A`, where `*` multiplies entry by entry and sums over input channels (Lavin and
//! Gray 2015, arXiv:1509.09308). For each of the 16 *frequencies* that is one matrix product of channels by tiles. The
//! gradient of the input is the same with the kernel turned by 180 degrees, that of the weight is
//! `G^T (sum over tiles of (B^T d B) * (A gy A^T)) G`.
//!
//! - **Where inputs and weights are small integers nothing is rounded**: the transforms add, subtract and halve twice, so the
//!   result has the same bits as the direct convolution's, as long as sums stay below 2^22. A committed layer's do.
//! - Otherwise the error is of the direct convolution's size; the larger F(4x4, 3x3), which saves more, rounds more
//!   and is not exact on integers.
//!
//! GFLOP/s, counted as the direct convolution's, of forward pass / gradient of the input / gradient of the weight on two cores of
//! an AMD EPYC (Zen 4) with AVX-512 (2026-11-25; direct: criterion's medians, this way: best of 30; batch 32, width 16 to 64 on the right batch 64):
//!
//! | | 64@32 | 128@16 | 256@8 | 512@4 | 16@32 | 32@16 | 64@8 |
//! |---|---|---|---|---|---|---|---|
//! | direct | 196 / 186 / 192 | 186 / 200 / 195 | 207 / 206 / 204 | 203 / 195 / 201 | 178 / 167 / 156 | 195 / 179 / 179 | 192 / 192 / 185 |
//! | this way | 377 / 365 / 350 | 429 / 417 / 400 | 435 / 417 / 380 | 322 / 305 / 350 | 250 / 252 / 252 | 300 / 310 / 331 | 326 / 337 / 380 |
//!
//! Tiles lie in vectors from the transform of the input to that of the output, so nothing is transposed on the way; a group of
//! tiles is worked on while its transform is in the second-level cache.

mod gather;
mod groups;
mod input;
mod output;
mod product;
mod weight;
mod weight_gradient;

pub(super) use gather::{backward_input, forward};
pub(super) use weight_gradient::part_sums;

use super::ConvShape;
use crate::simd::{Simd, SimdLevel};
use product::ROWS;

/// Frequencies: entries of a transformed patch.
const FREQUENCIES: usize = 16;

/// Floats from one frequency of a table to the next, where each has `len`. Transforms touch all frequencies of a tile at once:
/// three cache lines between them keep those from falling into one set of the cache (16-16@32 on one thread: a fifth faster).
fn frequency_stride(len: usize) -> usize {
    len + 48
}

/// Whether the convolution can be done this way, and whether it pays.
pub(super) fn is_suitable(s: &ConvShape) -> bool {
    (s.kernel, s.stride, s.padding) == (3, 1, 1)
        && s.in_height.is_multiple_of(2)
        && s.in_width.is_multiple_of(2)
        && s.in_channels.is_multiple_of(ROWS)
        && s.out_channels.is_multiple_of(ROWS)
        && s.in_channels.min(s.out_channels) >= 16
}

/// Tiles in a block, which is as wide as two vectors.
fn block(simd: Simd) -> usize {
    match simd.level() {
        SimdLevel::Portable | SimdLevel::Avx2 => 16,
        SimdLevel::Avx512 => 32,
    }
}
