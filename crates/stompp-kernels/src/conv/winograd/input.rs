//! The transform of the patches, `B^T d B`.

use super::groups::{Group, Tiles};
use super::{FREQUENCIES, apart, block};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, Simd, each};
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
            values: Scratch::new(FREQUENCIES * apart(len.div_ceil(block) * block * channels)),
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
        &self.values[number * apart(len)..][..len]
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
        let (block, block_len) = (self.patches.block, self.patches.block_len());
        let frequency = apart(self.patches.tiles.div_ceil(block) * block_len);
        let edges = Edges::all(self.tiles, self.group, L::LANES);
        let mut rows = Rows::new::<L>(self.tiles, self.group);
        for channel in 0..channels {
            let planes = self
                .group
                .images
                .clone()
                .map(|image| &self.x[(image * channels + channel) * plane..][..plane]);
            rows.read(planes, self.group.rows.start);
            for (number, edges) in edges.iter().enumerate() {
                let tile = number * L::LANES;
                let at = tile / block * block_len + channel * block + tile % block;
                // SAFETY: the caller vouches for the instructions; a vector of tiles lies in one block.
                unsafe {
                    let patch = rows.patch::<L>(tile, edges);
                    for j in 0..4 {
                        let column = difference::<L>([patch[0][j], patch[1][j], patch[2][j], patch[3][j]]);
                        for (i, &v) in column.iter().enumerate() {
                            let to = &mut self.patches.values[(4 * i + j) * frequency + at..][..L::LANES];
                            L::store(to.as_mut_ptr(), v);
                        }
                    }
                }
            }
        }
    }
}

/// `B^T` times a column.
///
/// # Safety
///
/// The machine has the instructions of `L`.
#[inline(always)]
unsafe fn difference<L: Lanes>([d0, d1, d2, d3]: [L::Vector; 4]) -> [L::Vector; 4] {
    // SAFETY: the caller vouches for the instructions.
    unsafe { [L::sub(d0, d2), L::add(d1, d2), L::sub(d2, d1), L::sub(d1, d3)] }
}

/// Which tiles of a vector have neighbours inside the image, a bit each; bits past the vector are set.
struct Edges {
    left: u32,
    right: u32,
    above: u32,
    below: u32,
}

impl Edges {
    /// Of all vectors of a group's tiles.
    fn all(tiles: &Tiles, group: &Group, lanes: usize) -> Vec<Self> {
        let mut edges = Vec::with_capacity(tiles.len(group).div_ceil(lanes));
        let mut lane = lanes;
        let rows = group.images.clone().flat_map(|_| group.rows.clone());
        for (row, column) in rows.flat_map(|row| (0..tiles.columns).map(move |column| (row, column))) {
            if lane == lanes {
                let past = !0 << lanes;
                edges.push(Self {
                    left: past,
                    right: past,
                    above: past,
                    below: past,
                });
                lane = 0;
            }
            let last = edges.len() - 1;
            let Self {
                left,
                right,
                above,
                below,
            } = &mut edges[last];
            *left |= u32::from(column > 0) << lane;
            *right |= u32::from(column + 1 < tiles.columns) << lane;
            *above |= u32::from(row > 0) << lane;
            *below |= u32::from(row + 1 < tiles.rows) << lane;
            lane += 1;
        }
        edges
    }
}

/// The rows of a group's planes, even ones and odd ones apart, image after image without a gap: so all tiles are neighbours,
/// and what a tile at an edge finds beyond it is left out by [`Edges`].
struct Rows {
    width: usize,
    /// Rows of tiles, of one image.
    count: usize,
    /// Rows 0, 2, ... of each image, then one more.
    even: Scratch,
    /// One more, then rows 1, 3, ... of each image.
    odd: Scratch,
}

impl Rows {
    /// Floats in front of the first row and behind the last that vectors may reach.
    const MARGIN: usize = 2;

    fn new<L: Lanes>(tiles: &Tiles, group: &Group) -> Self {
        let rows = group.images.len() * group.rows.len() + 1;
        // The last vector may be one tile long.
        let len = 2 * Self::MARGIN + rows * tiles.width() + 2 * L::LANES;
        Self {
            width: tiles.width(),
            count: group.rows.len(),
            even: Scratch::zeros(len),
            odd: Scratch::zeros(len),
        }
    }

    /// Reads what tile rows from `first` on of `planes` need.
    #[inline(always)]
    fn read<'a>(&mut self, planes: impl Iterator<Item = &'a [f32]>, first: usize) {
        let width = self.width;
        let mut even = self.even[Self::MARGIN..].chunks_mut(width);
        let (lead, odd) = self.odd[Self::MARGIN..].split_at_mut(width);
        let mut odd = odd.chunks_mut(width);
        for plane in planes {
            let rows = &plane[2 * first * width..];
            for rows in rows.chunks(2 * width).take(self.count) {
                let (upper, lower) = rows.split_at(width);
                even.by_ref().take(1).for_each(|to| copy(upper, to));
                odd.by_ref().take(1).for_each(|to| copy(lower, to));
            }
            // The rows around a strip of one image; around whole images there are none.
            if let Some(above) = (2 * first).checked_sub(1) {
                copy(&plane[above * width..][..width], lead);
            }
            if let Some(below) = rows.get(2 * self.count * width..).filter(|below| !below.is_empty()) {
                even.by_ref().take(1).for_each(|to| copy(&below[..width], to));
            }
        }
    }

    /// `d B` of the tiles from `first` on: for each row of a patch its four values.
    ///
    /// # Safety
    ///
    /// The machine has the instructions of `L`.
    #[inline(always)]
    unsafe fn patch<L: Lanes>(&self, first: usize, edges: &Edges) -> [[L::Vector; 4]; 4] {
        let at = Self::MARGIN + 2 * first;
        let all = u32::MAX;
        let rows = [
            (&self.odd[at - Self::MARGIN..], edges.above),
            (&self.even[at - Self::MARGIN..], all),
            (&self.odd[at + self.width - Self::MARGIN..], all),
            (&self.even[at + self.width - Self::MARGIN..], edges.below),
        ];
        each(
            rows,
            #[inline(always)]
            |(row, inside): (&[f32], u32)| {
                let row = &row[..2 * Self::MARGIN + 2 * L::LANES];
                // SAFETY: the caller vouches for the instructions; all reads are within `row`.
                unsafe {
                    let pair =
                        |at: usize| L::unzip(L::load(row.as_ptr().add(at)), L::load(row.as_ptr().add(at + L::LANES)));
                    let ([_, d0], [d1, d2], [d3, _]) = (pair(0), pair(2), pair(4));
                    let only = |bits: u32, d: L::Vector| L::select(L::mask(bits), d, L::splat(0.0));
                    let (d0, d3) = (only(edges.left & inside, d0), only(edges.right & inside, d3));
                    let (d1, d2) = if inside == all {
                        (d1, d2)
                    } else {
                        (only(inside, d1), only(inside, d2))
                    };
                    difference::<L>([d0, d1, d2, d3])
                }
            },
        )
    }
}
