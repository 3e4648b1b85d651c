//! The transform of the patches, `B^T d B`.

use super::groups::{Group, Tiles};
use super::{FREQUENCIES, block, frequency_stride};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Lanes, MOST_LANES, Simd, each};
use crate::transpose::copy;

/// The transformed patches of a group of tiles: `(frequency, block, channel, tile of the block)`. In the last block, the tiles past the
/// end of the group are unspecified.
pub(super) struct Patches {
    values: Scratch,
    channels: usize,
    /// Tiles in a block.
    pub(super) block: usize,
    /// Tiles of the group.
    pub(super) tiles: usize,
}

impl Patches {
    /// Transforms the patches of `group` in all `channels` channels of `x`.
    pub(super) fn new(simd: Simd, tiles: &Tiles, group: &Group, channels: usize, x: &[f32]) -> Self {
        let block = block(simd);
        let len = tiles.len(group);
        let mut patches = Self {
            values: Scratch::new(FREQUENCIES * frequency_stride(len.div_ceil(block) * block * channels)),
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

    /// Returns the number of floats of a block.
    pub(super) fn block_len(&self) -> usize {
        self.channels * self.block
    }

    /// Returns the blocks of one frequency.
    pub(super) fn frequency(&self, number: usize) -> &[f32] {
        let len = self.tiles.div_ceil(self.block) * self.block_len();
        &self.values[number * frequency_stride(len)..][..len]
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
        let frequency = frequency_stride(self.patches.tiles.div_ceil(block) * block_len);
        let edges = Edges::all(self.tiles, self.group, L::LANES);
        // If every vector is inside one row of tiles, it is read directly from the plane.
        let mut rows = if self.tiles.columns.is_multiple_of(L::LANES) {
            None
        } else {
            Some(Rows::new::<L>(self.tiles, self.group))
        };
        for channel in 0..channels {
            let start = |image: usize| (image * channels + channel) * plane;
            if let Some(rows) = &mut rows {
                let planes = self.group.images.clone().map(|image| &self.x[start(image)..][..plane]);
                rows.read(planes, self.group.rows.start);
            }
            for (number, edges) in edges.iter().enumerate() {
                let tile = number * L::LANES;
                let at = tile / block * block_len + channel * block + tile % block;
                // SAFETY: the caller guarantees the instructions; a vector of tiles is inside one block.
                unsafe {
                    let patch = match &rows {
                        Some(rows) => patch::<L>(rows.patch_rows(tile, 2 * L::LANES), edges),
                        None => {
                            let (row, column) = (tile / self.tiles.columns, tile % self.tiles.columns);
                            let image = self.group.images.start + row / self.group.rows.len();
                            let row = self.group.rows.start + row % self.group.rows.len();
                            let first = start(image) + 2 * (row * self.tiles.width() + column);
                            patch_of_plane::<L>(self.x, first, self.tiles.width(), edges)
                        }
                    };
                    let [d0, d1, d2, d3] = patch;
                    for (j, (((&d0, &d1), &d2), &d3)) in d0.iter().zip(&d1).zip(&d2).zip(&d3).enumerate() {
                        for (i, v) in difference::<L>([d0, d1, d2, d3]).into_iter().enumerate() {
                            let to = &mut self.patches.values[(4 * i + j) * frequency + at..][..L::LANES];
                            L::store(to.as_mut_ptr(), v);
                        }
                    }
                }
            }
        }
    }
}

/// Number of floats that [`patch`] reads on each side of a vector's own floats.
const MARGIN: usize = 2;

/// Computes `d B` for a vector of tiles: four values for each row of their patches. `rows` includes the margins.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn patch<L: Lanes>(rows: [&[f32]; 4], edges: &Edges) -> [[L::Vector; 4]; 4] {
    let all = u32::MAX;
    let [r0, r1, r2, r3] = rows;
    each(
        [(r0, edges.above), (r1, all), (r2, all), (r3, edges.below)],
        #[inline(always)]
        |(row, inside): (&[f32], u32)| {
            let row = &row[..2 * MARGIN + 2 * L::LANES];
            // SAFETY: the caller guarantees the instructions; all reads are within `row`.
            unsafe {
                let at = |at: usize| L::load(row.as_ptr().add(at));
                let [_, d0] = L::unzip(at(0), at(L::LANES));
                let [d1, d2] = L::unzip(at(2), at(2 + L::LANES));
                let [d3, _] = L::unzip(at(4), at(4 + L::LANES));
                let (left, right) = (edges.left & inside, edges.right & inside);
                let (d0, d3) = (only::<L>(left, d0), only::<L>(right, d3));
                let (d1, d2) = (only::<L>(inside, d1), only::<L>(inside, d2));
                difference::<L>([d0, d1, d2, d3])
            }
        },
    )
}

/// Returns `d` in the lanes whose bits are set, else 0.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn only<L: Lanes>(bits: u32, d: L::Vector) -> L::Vector {
    if bits == u32::MAX {
        return d;
    }
    // SAFETY: the caller guarantees the instructions.
    unsafe { L::select(L::mask(bits), d, L::splat(0.0)) }
}

/// Computes [`patch`] directly from the plane. `first` is the index in `x` of the vector's own floats, in the upper of its two rows.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn patch_of_plane<L: Lanes>(x: &[f32], first: usize, width: usize, edges: &Edges) -> [[L::Vector; 4]; 4] {
    let len = 2 * L::LANES + 2 * MARGIN;
    // A row outside of the image is not used; any other row may be read instead.
    let above = if edges.above == 0 || first < width {
        first
    } else {
        first - width
    };
    let below = if first + 2 * width < x.len() {
        first + 2 * width
    } else {
        first
    };
    let starts = [above, first, first + width, below];
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        if above >= MARGIN && starts[2].max(below) + 2 * L::LANES + MARGIN <= x.len() {
            return patch::<L>(
                each(
                    starts,
                    #[inline(always)]
                    |start: usize| &x[start - MARGIN..][..len],
                ),
                edges,
            );
        }
        // The first and last rows of the tensor have no margin on one side.
        let mut rows = [[0.0; 2 * MOST_LANES + 2 * MARGIN]; 4];
        for (row, start) in rows.iter_mut().zip(starts) {
            row[MARGIN..][..2 * L::LANES].copy_from_slice(&x[start..][..2 * L::LANES]);
            for margin in 0..MARGIN {
                let (before, after) = (start.checked_sub(MARGIN - margin), start + 2 * L::LANES + margin);
                row[margin] = before.map_or(0.0, |before| x[before]);
                row[MARGIN + 2 * L::LANES + margin] = x.get(after).copied().unwrap_or(0.0);
            }
        }
        patch::<L>([&rows[0], &rows[1], &rows[2], &rows[3]], edges)
    }
}

/// Computes `B^T` times a column.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn difference<L: Lanes>([d0, d1, d2, d3]: [L::Vector; 4]) -> [L::Vector; 4] {
    // SAFETY: the caller guarantees the instructions.
    unsafe { [L::sub(d0, d2), L::add(d1, d2), L::sub(d2, d1), L::sub(d1, d3)] }
}

/// For each tile of a vector, bits that are set if its neighbours are inside the image. Bits past the vector are set.
struct Edges {
    left: u32,
    right: u32,
    above: u32,
    below: u32,
}

impl Edges {
    /// Returns the edges of all vectors of a group's tiles.
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

/// Copies of the rows of a group's planes, for vectors that have tiles of several rows. Even and odd rows are separate, image after image
/// without gaps, so that all tiles are neighbours. [`Edges`] masks the values that a tile at an edge reads beyond the edge.
struct Rows {
    width: usize,
    /// Rows of tiles in one image.
    count: usize,
    /// Rows 0, 2, ... of each image, then one extra row.
    even: Scratch,
    /// One extra row, then rows 1, 3, ... of each image.
    odd: Scratch,
}

impl Rows {
    fn new<L: Lanes>(tiles: &Tiles, group: &Group) -> Self {
        let rows = group.images.len() * group.rows.len() + 1;
        // The last vector may have only one tile.
        let len = 2 * MARGIN + rows * tiles.width() + 2 * L::LANES;
        Self {
            width: tiles.width(),
            count: group.rows.len(),
            even: Scratch::zeros(len),
            odd: Scratch::zeros(len),
        }
    }

    /// Reads the rows of `planes` that the tile rows need, starting at tile row `first`.
    #[inline(always)]
    fn read<'a>(&mut self, planes: impl Iterator<Item = &'a [f32]>, first: usize) {
        let width = self.width;
        let mut even = self.even[MARGIN..].chunks_mut(width);
        let (lead, odd) = self.odd[MARGIN..].split_at_mut(width);
        let mut odd = odd.chunks_mut(width);
        for plane in planes {
            let rows = &plane[2 * first * width..];
            for rows in rows.chunks(2 * width).take(self.count) {
                let (upper, lower) = rows.split_at(width);
                even.by_ref().take(1).for_each(|to| copy(upper, to));
                odd.by_ref().take(1).for_each(|to| copy(lower, to));
            }
            // The rows above and below a part of one image. Whole images have none.
            if let Some(above) = (2 * first).checked_sub(1) {
                copy(&plane[above * width..][..width], lead);
            }
            if let Some(below) = rows.get(2 * self.count * width..).filter(|below| !below.is_empty()) {
                even.by_ref().take(1).for_each(|to| copy(&below[..width], to));
            }
        }
    }

    /// Returns the four rows of the patches of the tiles, starting at `first`. The tiles have `len` own floats in each row.
    #[inline(always)]
    fn patch_rows(&self, first: usize, len: usize) -> [&[f32]; 4] {
        let (at, len) = (2 * first, len + 2 * MARGIN);
        [
            &self.odd[at..][..len],
            &self.even[at..][..len],
            &self.odd[at + self.width..][..len],
            &self.even[at + self.width..][..len],
        ]
    }
}
