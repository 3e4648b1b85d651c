//! What a loader loads: [`Examples`], made of images in memory or of image files, for training or for evaluation.

use crate::augment::{Augmentation, CropParams};
use crate::{CHANNELS, DataError, ImageSet, Normalization};
use std::sync::Arc;

/// A set of labelled images, each ready for a network on demand. **What an example is depends on (epoch, index)
/// alone**, so examples can be prepared by any thread, in any order, again and again.
pub trait Examples: Send + Sync {
    /// Number of examples of an epoch.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of each image: channels, height, width.
    fn shape(&self) -> [usize; 3];

    /// Writes image `index` of `epoch` to `image`, which has the length that [`shape`](Self::shape) tells, and returns
    /// its label. Every element of `image` is written. `None` means that there is no such image and it is to be left out.
    ///
    /// # Errors
    /// A [`DataError`] if the image cannot be had, for example from a damaged file.
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
    /// The images as they are, normalized; for evaluation. The epoch makes no difference.
    pub fn new(images: Arc<ImageSet>, normalization: Normalization) -> Self {
        Self {
            images,
            normalization,
            augmentation: None,
        }
    }

    /// The images augmented, each anew in each epoch, and normalized; for training. `seed` chooses the augmentations.
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
