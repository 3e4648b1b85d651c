//! Smaller images by averaging over boxes.

use crate::{DataError, ImageSet, Labelled};

impl ImageSet {
    /// Returns the set with its images averaged down to `size` x `size`. Each pixel is the mean of a box of pixels, computed
    /// exactly in integers and rounded to the nearest byte, ties to even (so that rounding does not shift the mean of
    /// the set).
    ///
    /// # Errors
    /// Returns [`DataError::CannotShrink`] unless height and width are the same whole multiple of `size`.
    pub fn shrink_to(&self, size: usize) -> Result<ImageSet, DataError> {
        let (height, width) = (self.height(), self.width());
        if size == 0 || height != width || !height.is_multiple_of(size) {
            return Err(DataError::CannotShrink {
                name: self.name().to_owned(),
                height,
                width,
                size,
            });
        }
        let side = height / size;
        let area = side * side;
        // A row of boxes covers `side` rows of the plane. The height is a multiple of `side`, so a row of boxes never
        // spans two planes or two images.
        let mut pixels = Vec::with_capacity(self.pixels().len() / area);
        for rows in self.pixels().chunks_exact(side * width) {
            for left in (0..width).step_by(side) {
                let row_sum = |row: &[u8]| {
                    row[left..left + side]
                        .iter()
                        .map(|&pixel| usize::from(pixel))
                        .sum::<usize>()
                };
                pixels.push(rounded_mean(rows.chunks_exact(width).map(row_sum).sum(), area));
            }
        }
        ImageSet::new(
            self.name(),
            (size, size),
            self.classes(),
            pixels,
            self.labels().to_vec(),
        )
    }
}

/// `sum / count` to the nearest byte, ties to even. `sum` is of `count` bytes, so the mean is a byte.
fn rounded_mean(sum: usize, count: usize) -> u8 {
    let (floor, rest) = (sum / count, sum % count);
    let up = 2 * rest > count || (2 * rest == count && !floor.is_multiple_of(2));
    (floor + usize::from(up)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden pixels, asymmetric in row, column and channel:
    /// ```python
    /// import numpy as np
    /// a = (np.arange(2 * 3 * 4 * 4) ** 2 * 7 % 256).astype(np.uint8).reshape(2, 3, 2, 2, 2, 2)
    /// np.rint(a.astype(float).mean((3, 5))).astype(int).reshape(2, 12).tolist()
    /// ```
    #[test]
    fn boxes_are_averaged() {
        let pixels = (0..96u32).map(|i| (i * i * 7 % 256) as u8).collect();
        let set = ImageSet::new("test", (4, 4), 2, pixels, vec![1, 0]).unwrap();
        let small = set.shrink_to(2).unwrap();
        assert_eq!(small.image(0), GOLDEN[0]);
        assert_eq!(small.image(1), GOLDEN[1]);
        assert_eq!(small.labels(), [1, 0]);
        assert_eq!(set.shrink_to(4).unwrap(), set);
    }

    const GOLDEN: [[u8; 12]; 2] = [
        [74, 108, 162, 100, 122, 156, 146, 148, 106, 140, 194, 132],
        [154, 124, 178, 116, 74, 172, 162, 164, 122, 156, 146, 148],
    ];

    #[test]
    fn ties_go_to_even() {
        let means: Vec<u8> = [2, 6, 10, 1, 3, 1020].map(|sum| rounded_mean(sum, 4)).to_vec();
        assert_eq!(means, [0, 2, 2, 0, 1, 255]);
    }

    #[test]
    fn only_whole_boxes_are_accepted() {
        let square = ImageSet::new("test", (4, 4), 1, vec![0; 48], vec![0]).unwrap();
        assert_eq!(
            square.shrink_to(3).unwrap_err().to_string(),
            "image set test: images of 4x4 cannot be averaged down to 3x3: both sides must be the same whole multiple of 3"
        );
        assert!(square.shrink_to(0).is_err());
        assert!(square.shrink_to(8).is_err());
        let flat = ImageSet::new("test", (2, 4), 1, vec![0; 24], vec![0]).unwrap();
        assert!(flat.shrink_to(2).is_err());
    }
}
