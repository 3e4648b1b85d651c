//! Splits the tiles of a batch into groups that are processed together.

use std::ops::Range;

use crate::conv::ConvShape;

/// The tiles of all planes of a batch, split into groups. A group has some rows of tiles of one image, or several whole images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    pub(super) batch: usize,
    /// Rows of tiles in a plane.
    pub(super) rows: usize,
    /// Tiles in a row.
    pub(super) columns: usize,
    rows_of_group: usize,
    images_of_group: usize,
}

/// A group: the same rows of tiles of some images.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Tiles {
    /// Creates groups for patches of `channels` channels. A group is small enough that its transform (16 floats per tile and channel) fits
    /// into a part of the second-level cache, and large enough to amortize reading the transformed weights.
    pub(super) fn new(s: &ConvShape, batch: usize, channels: usize) -> Self {
        /// Tiles times channels of a group.
        const GROUP: usize = 4096;
        const FEWEST: usize = 64;
        let (rows, columns) = (s.in_height / 2, s.in_width / 2);
        let wanted = (GROUP / channels).max(FEWEST);
        Self {
            batch,
            rows,
            columns,
            rows_of_group: (wanted / columns).clamp(1, rows),
            images_of_group: (wanted / (rows * columns)).clamp(1, batch),
        }
    }

    /// Returns the number of elements of a plane.
    pub(super) fn plane(&self) -> usize {
        4 * self.rows * self.columns
    }

    /// Returns the number of columns of a plane.
    pub(super) fn width(&self) -> usize {
        2 * self.columns
    }

    /// Lists the groups in the order of the planes.
    pub(super) fn groups(self) -> impl Iterator<Item = Group> {
        (0..self.batch).step_by(self.images_of_group).flat_map(move |image| {
            (0..self.rows).step_by(self.rows_of_group).map(move |row| Group {
                images: image..(image + self.images_of_group).min(self.batch),
                rows: row..(row + self.rows_of_group).min(self.rows),
            })
        })
    }

    /// Returns the number of tiles of a group.
    pub(super) fn len(&self, group: &Group) -> usize {
        group.images.len() * group.rows.len() * self.columns
    }

    /// Splits `y` into the rows of each group and each chunk of channels. Each part has one slice of whole rows for each image of the
    /// group and each channel of the chunk, image by image.
    pub(super) fn split<'a>(&self, y: &'a mut [f32], channels: usize, chunk: usize) -> Vec<Vec<Vec<&'a mut [f32]>>> {
        let strips = self.rows.div_ceil(self.rows_of_group);
        let rows = 2 * self.rows_of_group * self.width();
        let mut groups: Vec<Vec<Vec<&mut [f32]>>> = self
            .groups()
            .map(|group| {
                let slices = group.images.len() * chunk.min(channels);
                (0..channels.div_ceil(chunk))
                    .map(|_| Vec::with_capacity(slices))
                    .collect()
            })
            .collect();
        for (number, plane) in y.chunks_mut(self.plane()).enumerate() {
            let (image, channel) = (number / channels, number % channels);
            let of_image = &mut groups[image / self.images_of_group * strips..];
            for (group, slice) in of_image.iter_mut().zip(plane.chunks_mut(rows)) {
                group[channel / chunk].push(slice);
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tile is in exactly one group, and `split` returns the rows of each group.
    #[test]
    fn groups_cover_the_planes_once() {
        for (batch, extent, channels) in [(3, 32, 64), (5, 8, 64), (33, 4, 512), (1, 2, 16), (2, 12, 48)] {
            let s = ConvShape {
                batch,
                in_channels: channels,
                in_height: extent,
                in_width: extent + 4,
                out_channels: channels,
                kernel: 3,
                stride: 1,
                padding: 1,
            };
            let tiles = Tiles::new(&s, batch, channels);
            let mut y = vec![0.0; s.output_len()];
            let plane = tiles.plane();
            let groups: Vec<Group> = tiles.groups().collect();
            let parts = tiles.split(&mut y, channels, 24);
            assert_eq!(groups.len(), parts.len());
            for (group, parts) in groups.iter().zip(parts) {
                for (chunk, parts) in parts.into_iter().enumerate() {
                    let in_chunk = 24.min(channels - 24 * chunk);
                    assert_eq!(parts.len(), group.images.len() * in_chunk);
                    for (i, part) in parts.into_iter().enumerate() {
                        let (image, channel) = (group.images.start + i / in_chunk, 24 * chunk + i % in_chunk);
                        let first = (image * channels + channel) * plane + 2 * group.rows.start * tiles.width();
                        assert_eq!(part.len(), 2 * group.rows.len() * tiles.width());
                        part.iter_mut()
                            .enumerate()
                            .for_each(|(j, y)| *y += 1.0 + (first + j) as f32);
                    }
                }
            }
            assert!(y.iter().enumerate().all(|(i, &y)| y == 1.0 + i as f32));
        }
    }
}
