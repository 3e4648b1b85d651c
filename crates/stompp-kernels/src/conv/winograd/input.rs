//! The transform of the patches, `B^T d B`.

use super::groups::{Group, Tiles};
use super::{FREQUENCIES, block};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, MOST_LANES, Simd, each};
use crate::transpose::copy;

/// The transformed patches of a group of tiles: `(frequency, block, channel, tile of the block)`. The last block's tiles past
/// the group's end are unspecified.
pub(super) struct Patches {
    values: Scratch,
    channels: usize,
    /// Tiles in a block.
    pub(super) block: usize,
    /// Tiles of the group.
    pub(super) tiles: usize,
}

impl Patches {
    /// Transforms the patches of `group`, in all of `x`'s `channels` channels.
    pub(super) fn new(simd: Simd, tiles: &Tiles, group: &Group, channels: usize, x: &[f32]) -> Self {
        let block = block(simd);
        let len = tiles.len(group);
        let mut patches = Self {
            values: Scratch::new(FREQUENCIES * len.div_ceil(block) * block * channels),
            channels,
            block,
            tiles: len,
        };
        simd.run(Transform {
            tiles,
            group,
            x,
            patches: &mut patches,
        });
        patches
    }

    /// Floats of a block.
    pub(super) fn block_len(&self) -> usize {
        self.channels * self.block
    }

    /// The blocks of one frequency.
    pub(super) fn frequency(&self, number: usize) -> &[f32] {
        let len = self.tiles.div_ceil(self.block) * self.block_len();
        &self.values[number * len..][..len]
    }
}

struct Transform<'a> {
    tiles: &'a Tiles,
    group: &'a Group,
    x: &'a [f32],
    patches: &'a mut Patches,
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (channels, plane) = (self.patches.channels, self.tiles.plane());
        let mut rows = Rows::new::<L>(self.tiles, self.group.rows.len());
        for (number, image) in self.group.images.clone().enumerate() {
            for channel in 0..channels {
                let plane = &self.x[(image * channels + channel) * plane..][..plane];
                // SAFETY: the caller vouches for the instructions.
                unsafe {
                    rows.read::<L>(plane, self.group.rows.start);
                    rows.write::<L>(number, channel, self.patches);
                }
            }
        }
    }
}

/// The rows of one plane that a group's tiles read, `d B`: for each of four columns of `B` and each row its tiles, rows above
/// and below a tile's middle (0, 2, ...) apart from the others.
///
/// Rows are stored as whole vectors, one after the other, so that what a vector has past a row's end is overwritten by the next.
struct Rows {
    columns: usize,
    /// Rows of tiles.
    rows: usize,
    /// The plane's rows with a zero on both sides.
    padded: Scratch,
    /// `(column of B, parity of the row, number, tile)`.
    half: Scratch,
    /// Floats of one column of `B` and one parity.
    half_len: usize,
}

impl Rows {
    fn new<L: Lanes>(tiles: &Tiles, rows: usize) -> Self {
        let half_len = (rows + 1) * tiles.columns + L::LANES;
        Self {
            columns: tiles.columns,
            rows,
            padded: Scratch::zeros((2 * rows + 2) * (tiles.width() + 2) + 2 * L::LANES),
            half: Scratch::new(8 * half_len),
            half_len,
        }
    }

    /// Reads the rows of `plane` for tile rows from `first` on.
    ///
    /// # Safety
    ///
    /// The machine has the instructions of `L`.
    #[inline(always)]
    unsafe fn read<L: Lanes>(&mut self, plane: &[f32], first: usize) {
        let width = 2 * self.columns;
        let pitch = width + 2;
        for (i, to) in self.padded.chunks_mut(pitch).take(2 * self.rows + 2).enumerate() {
            let to = &mut to[1..=width];
            match (2 * first + i).checked_sub(1).and_then(|row| plane.get(row * width..)) {
                Some(from) if !from.is_empty() => copy(&from[..width], to),
                _ => to.fill(0.0),
            }
        }
        let (padded, half) = (self.padded.as_ptr(), self.half.as_mut_ptr());
        for i in 0..2 * self.rows + 2 {
            for column in (0..self.columns).step_by(L::LANES) {
                // SAFETY: a row's vectors end at most `2 * LANES` floats past it, which `padded` has; a stored vector ends at
                // most `LANES` past a row of `half`.
                unsafe {
                    let at = padded.add(i * pitch + 2 * column);
                    let [d0, d1] = L::unzip(L::load(at), L::load(at.add(L::LANES)));
                    let at = at.add(2);
                    let [d2, d3] = L::unzip(L::load(at), L::load(at.add(L::LANES)));
                    let to = half.add(i % 2 * self.half_len + i / 2 * self.columns + column);
                    for (j, v) in [L::sub(d0, d2), L::add(d1, d2), L::sub(d2, d1), L::sub(d1, d3)]
                        .into_iter()
                        .enumerate()
                    {
                        L::store(to.add(2 * j * self.half_len), v);
                    }
                }
            }
        }
    }

    /// Writes the tiles, as those of the `number`-th image of the group.
    ///
    /// # Safety
    ///
    /// The machine has the instructions of `L`.
    #[inline(always)]
    unsafe fn write<L: Lanes>(&self, number: usize, channel: usize, patches: &mut Patches) {
        let tiles = self.rows * self.columns;
        let (block, block_len) = (patches.block, patches.block_len());
        let frequency_len = patches.tiles.div_ceil(block) * block_len;
        for at in (0..tiles).step_by(L::LANES) {
            let tile = number * tiles + at;
            let count = L::LANES.min(tiles - at);
            let whole = count == L::LANES && tile.is_multiple_of(L::LANES);
            for j in 0..4 {
                let (odd, even) = (2 * j * self.half_len + at, (2 * j + 1) * self.half_len + at);
                // SAFETY: as many floats as a vector has follow each tile of `half`.
                let outputs = unsafe {
                    let [d0, d1, d2, d3] = each(
                        [odd, even, odd + self.columns, even + self.columns],
                        #[inline(always)]
                        |at: usize| L::load(self.half[at..].as_ptr()),
                    );
                    [L::sub(d0, d2), L::add(d1, d2), L::sub(d2, d1), L::sub(d1, d3)]
                };
                for (i, output) in outputs.into_iter().enumerate() {
                    let frequency = &mut patches.values[(4 * i + j) * frequency_len..][..frequency_len];
                    let start = |tile: usize| tile / block * block_len + channel * block + tile % block;
                    // SAFETY: a vector that starts at a multiple of its length lies in one block.
                    unsafe {
                        if whole {
                            let to = &mut frequency[start(tile)..][..L::LANES];
                            L::store(to.as_mut_ptr(), output);
                        } else {
                            let mut lanes = [0.0; MOST_LANES];
                            L::store(lanes.as_mut_ptr(), output);
                            for (tile, &lane) in (tile..).zip(&lanes[..count]) {
                                frequency[start(tile)] = lane;
                            }
                        }
                    }
                }
            }
        }
    }
}
