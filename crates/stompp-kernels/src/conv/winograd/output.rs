//! The transform of the sums to outputs, `A^T m A`.

use super::frequency_stride;
use super::groups::{Group, Tiles};
use crate::simd::{Kernel, Lanes, MOST_LANES, each};
use crate::transpose::copy;

/// Writes the outputs of a group of tiles, for some channels.
pub(super) struct Outputs<'a, 'b> {
    pub(super) tiles: &'a Tiles,
    pub(super) group: &'a Group,
    /// Number of channels.
    pub(super) channels: usize,
    /// `(frequency, block, channel, tile of the block)`.
    pub(super) sums: &'a [f32],
    /// Tiles in a block.
    pub(super) block: usize,
    /// The group's rows for each image of the group and each channel.
    pub(super) y: &'a mut [&'b mut [f32]],
    /// Whether to add to `y` (true) or to overwrite it (false).
    pub(super) add: bool,
}

impl Kernel for Outputs<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let tiles = self.tiles.len(self.group);
        let frequency = frequency_len(tiles, self.block, self.channels);
        for channel in 0..self.channels {
            for tile in (0..tiles).step_by(L::LANES) {
                let at = (tile / self.block * self.channels + channel) * self.block + tile % self.block;
                // SAFETY: the caller guarantees the instructions.
                let rows = unsafe {
                    let half = each(
                        [0, 1, 2, 3],
                        #[inline(always)]
                        |j: usize| {
                            fold::<L>(each(
                                [j, 4 + j, 8 + j, 12 + j],
                                #[inline(always)]
                                |f: usize| L::load(self.sums[f * frequency + at..][..L::LANES].as_ptr()),
                            ))
                        },
                    );
                    each(
                        [0, 1],
                        #[inline(always)]
                        |i: usize| {
                            let [left, right] = fold::<L>([half[0][i], half[1][i], half[2][i], half[3][i]]);
                            L::zip(left, right)
                        },
                    )
                };
                // SAFETY: as above.
                unsafe { self.write::<L>(channel, tile, L::LANES.min(tiles - tile), rows) };
            }
        }
    }
}

impl Outputs<'_, '_> {
    /// Writes two rows of outputs of `count` tiles, starting at `tile`.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    #[inline(always)]
    unsafe fn write<L: Lanes>(&mut self, channel: usize, tile: usize, count: usize, rows: [[L::Vector; 2]; 2]) {
        let (columns, width) = (self.tiles.columns, self.tiles.width());
        let of_image = self.group.rows.len() * columns;
        let mut done = 0;
        let mut lanes = [[0.0; 2 * MOST_LANES]; 2];
        while done < count {
            let (image, row, column) = (
                (tile + done) / of_image,
                (tile + done) % of_image / columns,
                (tile + done) % columns,
            );
            let run = (columns - column).min(count - done);
            let y = &mut self.y[image * self.channels + channel];
            for (i, row_of_tile) in rows.into_iter().enumerate() {
                let y = &mut y[(2 * row + i) * width + 2 * column..][..2 * run];
                // SAFETY: `y` has `2 * LANES` floats if whole vectors are written; `lanes` always has.
                unsafe {
                    if run == L::LANES {
                        for (v, half) in row_of_tile.into_iter().enumerate() {
                            let y = y.as_mut_ptr().add(v * L::LANES);
                            L::store(y, if self.add { L::add(L::load(y), half) } else { half });
                        }
                        continue;
                    }
                    if done == 0 {
                        L::store(lanes[i].as_mut_ptr(), row_of_tile[0]);
                        L::store(lanes[i].as_mut_ptr().add(L::LANES), row_of_tile[1]);
                    }
                }
                let from = &lanes[i][2 * done..][..2 * run];
                if self.add {
                    y.iter_mut().zip(from).for_each(|(y, &x)| *y += x);
                } else {
                    copy(from, y);
                }
            }
            done += run;
        }
    }
}

/// Computes `A^T` times a column.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn fold<L: Lanes>([m0, m1, m2, m3]: [L::Vector; 4]) -> [L::Vector; 2] {
    // SAFETY: the caller guarantees the instructions.
    unsafe { [L::add(L::add(m0, m1), m2), L::sub(L::sub(m1, m2), m3)] }
}

/// Returns the distance, in floats, between frequencies in the sums of a group of tiles with `channels` channels.
pub(super) fn frequency_len(tiles: usize, block: usize, channels: usize) -> usize {
    frequency_stride(tiles.div_ceil(block) * block * channels)
}
