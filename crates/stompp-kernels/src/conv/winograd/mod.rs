//! Winograd's minimal filtering, F(2x2, 3x3): four outputs of a 3x3 convolution with 16 multiplications instead of 36.
//!
//! A plane is split into tiles of 2x2 outputs. Each tile reads a 4x4 patch `d`. With
//!
//! ```text
//!       [1  0 -1  0]        [ 1    0    0 ]
//! B^T = [0  1  1  0]    G = [1/2  1/2  1/2]    A^T = [1  1  1  0]
//!       [0 -1  1  0]        [1/2 -1/2  1/2]          [0  1 -1 -1]
//!       [0  1  0 -1]        [ 0    0    1 ]
//! ```
//!
//! the outputs are `A^T ((G g G^T) * (B^T d B)) A`, where `*` multiplies entry by entry and sums over input channels (Lavin and
//! Gray 2015, arXiv:1509.09308). For each of the 16 *frequencies* this is one matrix product of channels by tiles. The gradient of the
//! input is the same with the kernel rotated by 180 degrees. The gradient of the weight is
//! `G^T (sum over tiles of (B^T d B) * (A gy A^T)) G`.
//!
//! - **Nothing is rounded if inputs and weights are small integers**: the transforms only add, subtract and halve twice. The result is
//!   bitwise equal to the direct convolution's if sums stay below 2^22. This is true for every committed layer.
//! - Otherwise the error has the same size as that of the direct convolution. The larger F(4x4, 3x3) would save more, but it rounds more
//!   and is not exact on integers.
//!
//! GFLOP/s of forward pass / gradient of the input / gradient of the weight, with the operations of the direct convolution, on two cores
//! of an AMD EPYC (Zen 4) with AVX-512 (2026-11-25; direct: criterion's medians, Winograd: best of 30; batch 32, in the last three columns
//! batch 64):
//!
//! | | 64@32 | 128@16 | 256@8 | 512@4 | 16@32 | 32@16 | 64@8 |
//! |---|---|---|---|---|---|---|---|
//! | direct | 196 / 186 / 192 | 186 / 200 / 195 | 207 / 206 / 204 | 203 / 195 / 201 | 178 / 167 / 156 | 195 / 179 / 179 | 192 / 192 / 185 |
//! | Winograd | 377 / 365 / 350 | 429 / 417 / 400 | 435 / 417 / 380 | 322 / 305 / 350 | 250 / 252 / 252 | 300 / 310 / 331 | 326 / 337 / 380 |
//!
//! Tiles stay in the lanes of vectors from the input transform to the output transform, so nothing is transposed. A group of tiles is
//! processed while its transform is in the second-level cache.

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

/// Number of frequencies: entries of a transformed patch.
const FREQUENCIES: usize = 16;

/// Returns the distance, in floats, between frequencies of `len` floats. Transforms access all frequencies of a tile at once. Three cache
/// lines between frequencies avoid conflicts in one set of the cache (16-16@32 on one thread: a fifth faster).
fn frequency_stride(len: usize) -> usize {
    len + 48
}

/// Whether Winograd's method supports this convolution and is faster.
pub(super) fn is_suitable(s: &ConvShape) -> bool {
    (s.kernel, s.stride, s.padding) == (3, 1, 1)
        && s.in_height.is_multiple_of(2)
        && s.in_width.is_multiple_of(2)
        && s.in_channels.is_multiple_of(ROWS)
        && s.out_channels.is_multiple_of(ROWS)
        && s.in_channels.min(s.out_channels) >= 16
}

/// Returns the number of tiles in a block: two vectors.
fn block(simd: Simd) -> usize {
    match simd.level() {
        SimdLevel::Portable | SimdLevel::Avx2 => 16,
        SimdLevel::Avx512 => 32,
    }
}
