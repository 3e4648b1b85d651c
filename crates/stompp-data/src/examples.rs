//! The data set interface of the loader, [`Examples`], and its implementation for images in memory, [`ImageExamples`].

use crate::augment::{Augmentation, CropParams};
use crate::{CHANNELS, DataError, ImageSet, Normalization};
use std::sync::Arc;

/// A set of labelled images, each prepared for a network on demand. **An example depends only on (epoch, index)**, so it can
/// be prepared by any thread, in any order, any number of times.
pub trait Examples: Send + Sync {
    /// Number of examples in an epoch.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of each image: channels, height, width.
    fn shape(&self) -> [usize; 3];

    /// Writes image `index` of `epoch` to `image`, whose length is the product of [`shape`](Self::shape), and returns
    /// its label. Every element of `image` is written. `None` means that the loader must skip this image.
    ///
    /// # Errors
    /// Returns a [`DataError`] if the image cannot be prepared, for example if its file is damaged.
    fn prepare(&self, epoch: u64, index: usize, image: &mut [f32]) -> Result<Option<usize>, DataError>;
}

/// Examples of an [`ImageSet`]: normalized, and for training also augmented.
#[derive(Clone, Debug)]
pub struct ImageExamples {
    images: Arc<ImageSet>,
    normalization: Normalization,
    augmentation: Option<(Augmentation, u64)>,
}

impl ImageExamples {
    /// Creates examples for evaluation: the images, normalized. They are the same in every epoch.
    pub fn new(images: Arc<ImageSet>, normalization: Normalization) -> Self {
        Self {
            images,
            normalization,
            augmentation: None,
        }
    }

    /// Creates examples for training: the images, augmented differently in each epoch, and normalized. `seed` selects the augmentations.
    pub fn with_augmentation(
        images: Arc<ImageSet>,
        normalization: Normalization,
        augmentation: Augmentation,
        seed: u64,
    ) -> Self {
        Self {
            images,
            normalization,
            augmentation: Some((augmentation, seed)),
        }
    }
}

impl Examples for ImageExamples {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> [usize; 3] {
        [CHANNELS, self.images.height(), self.images.width()]
    }

    fn prepare(&self, epoch: u64, index: usize, image: &mut [f32]) -> Result<Option<usize>, DataError> {
        let crop = match self.augmentation {
            None => CropParams::IDENTITY,
            Some((augmentation, seed)) => augmentation.crop_params(seed, epoch, index),
        };
        let size = (self.images.height(), self.images.width());
        crop.apply(self.images.image(index), size, &self.normalization, image);
        Ok(Some(self.images.label(index)))
    }
}
