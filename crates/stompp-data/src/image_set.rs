//! Labelled images in memory: [`ImageSet`]. **Its fields are always consistent**, because every constructor checks them.

use crate::{DataError, Labelled};

/// Channels of every image: red, green, blue.
pub const CHANNELS: usize = 3;

/// A labelled set of RGB images of one size, in memory, never empty.
///
/// Pixels are bytes of shape `(images, 3, height, width)`: per image the red, the green and the blue plane, each row
/// by row. Labels are in `0..classes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    name: String,
    height: usize,
    width: usize,
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl ImageSet {
    /// Creates a set of images `height` x `width` with labels in `0..classes`. `name` appears in messages and run records.
    ///
    /// # Errors
    /// Returns [`DataError::Inconsistent`] if there is no image, if a side is zero, if the number of pixel bytes is not
    /// `labels.len() * 3 * height * width`, or if a label is out of range.
    pub fn new(
        name: impl Into<String>,
        (height, width): (usize, usize),
        classes: usize,
        pixels: Vec<u8>,
        labels: Vec<u16>,
    ) -> Result<Self, DataError> {
        let set = Self {
            name: name.into(),
            height,
            width,
            classes,
            pixels,
            labels,
        };
        match set.problem() {
            None => Ok(set),
            Some(problem) => Err(DataError::Inconsistent {
                name: set.name,
                problem,
            }),
        }
    }

    fn problem(&self) -> Option<String> {
        let expected = [CHANNELS, self.height, self.width]
            .iter()
            .try_fold(self.labels.len(), |n, &f| n.checked_mul(f));
        if self.labels.is_empty() {
            return Some("has no images".to_owned());
        }
        if expected != Some(self.pixels.len()) || self.pixels.is_empty() {
            let (pixels, images) = (self.pixels.len(), self.labels.len());
            let (height, width) = (self.height, self.width);
            return Some(format!(
                "{pixels} pixel bytes, expected {images} images x {CHANNELS} channels x {height} x {width}"
            ));
        }
        let bad = self
            .labels
            .iter()
            .position(|&label| usize::from(label) >= self.classes)?;
        Some(format!(
            "image {bad} has label {}, expected a label below {}",
            self.labels[bad], self.classes
        ))
    }

    /// Number of images; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Rows of each image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of each image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels of all images, shape `(images, 3, height, width)`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Bytes of one image: `3 * height * width`.
    pub fn image_bytes(&self) -> usize {
        CHANNELS * self.height * self.width
    }

    /// Pixels of image `index`, shape `(3, height, width)`.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.image_bytes();
        &self.pixels[index * bytes..][..bytes]
    }

    /// Label of image `index`.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }
}

impl Labelled for ImageSet {
    /// For example `cifar10 train`.
    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn labels(&self) -> &[u16] {
        &self.labels
    }

    fn select(&self, indices: &[usize]) -> Self {
        assert!(!indices.is_empty(), "a set is never empty");
        Self {
            name: self.name.clone(),
            pixels: indices.iter().flat_map(|&index| self.image(index)).copied().collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pixels: usize, labels: &[u16]) -> Result<ImageSet, DataError> {
        ImageSet::new("test", (2, 3), 4, vec![0; pixels], labels.to_vec())
    }

    #[test]
    fn parts_that_fit_are_accepted() {
        let set = set(36, &[3, 0]).unwrap();
        assert_eq!((set.len(), set.image_bytes(), set.label(0)), (2, 18, 3));
        assert_eq!(set.class_counts(), [1, 0, 0, 1]);
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let message = |result: Result<ImageSet, DataError>| result.unwrap_err().to_string();
        assert_eq!(message(set(0, &[])), "image set test: has no images");
        assert_eq!(
            message(set(35, &[3, 0])),
            "image set test: 35 pixel bytes, expected 2 images x 3 channels x 2 x 3"
        );
        assert_eq!(
            message(set(36, &[3, 4])),
            "image set test: image 1 has label 4, expected a label below 4"
        );
        let no_pixels = ImageSet::new("test", (0, 3), 4, Vec::new(), vec![0]);
        assert!(message(no_pixels).contains("0 pixel bytes"));
        let overflow = ImageSet::new("test", (usize::MAX, 3), 4, Vec::new(), vec![0]);
        assert!(message(overflow).contains("0 pixel bytes"));
    }
}
