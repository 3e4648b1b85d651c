//! Examples from image files, [`FileExamples`], and the handling of unreadable files, [`BadImages`].

use crate::crop::{self, CropAugmentation};
use crate::{CHANNELS, DataError, Examples, ImageFileSet, Labelled, Normalization};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What to do with an image that cannot be read or decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadImage {
    /// Return an error.
    #[default]
    Fail,
    /// Leave it out of its batch, and list it in [`BadImages`]. Too many are an error: more than 1 % of the images, and also more than
    /// 10 (in a set of fewer than 40: more than a quarter).
    Skip,
}

impl OnBadImage {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Fail, Self::Skip];

    /// Returns the name used in configurations.
    // Written by hand: for two names `strum` is not shorter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// The number of bad images allowed in a small set.
const FEW: usize = 10;

/// The unreadable images of a set found so far. Clones share one list.
#[derive(Clone, Debug)]
pub struct BadImages {
    rule: OnBadImage,
    set: Arc<str>,
    images: usize,
    met: Arc<Mutex<BTreeMap<usize, String>>>,
}

impl BadImages {
    /// Creates an empty list for the images of `set`.
    pub fn new(rule: OnBadImage, set: &ImageFileSet) -> Self {
        Self {
            rule,
            set: set.name().into(),
            images: set.len(),
            met: Arc::default(),
        }
    }

    /// The number of bad images allowed: 1 % of the set. A small set may have a larger share, because a few bad files are as likely in it.
    fn allowed(&self) -> usize {
        (self.images / 100).max((self.images / 4).min(FEW))
    }

    /// Returns the error of each image, which names its file, in the order of the set.
    pub fn list(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    /// Records an image that cannot be read.
    ///
    /// # Errors
    /// Returns `error` under [`OnBadImage::Fail`], and [`DataError::TooManyBadImages`] if too many images are bad.
    pub(crate) fn record(&self, index: usize, error: DataError) -> Result<(), DataError> {
        if self.rule == OnBadImage::Fail {
            return Err(error);
        }
        let mut met = self.lock();
        met.insert(index, error.to_string());
        if met.len() <= self.allowed() {
            return Ok(());
        }
        Err(DataError::TooManyBadImages {
            set: self.set.to_string(),
            bad: met.len(),
            images: self.images,
            allowed: self.allowed(),
            first: met.values().next().cloned().unwrap_or_default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Examples of an [`ImageFileSet`]: each is read, decoded, cropped to a square and normalized when a loader requests it.
#[derive(Clone, Debug)]
pub struct FileExamples {
    images: Arc<ImageFileSet>,
    side: u32,
    normalization: Normalization,
    augmentation: Option<(CropAugmentation, u64)>,
    bad: BadImages,
}

impl FileExamples {
    /// Creates examples for evaluation. The shorter side of each image is resized to 8/7 of `side` (256 for 224), and the centre,
    /// `side` x `side`, is cut out.
    pub fn new(images: Arc<ImageFileSet>, side: u32, normalization: Normalization, bad: BadImages) -> Self {
        Self {
            images,
            side,
            normalization,
            augmentation: None,
            bad,
        }
    }

    /// Creates examples for training: random crops resized to `side` x `side`, different in each epoch. `seed` selects the crops.
    pub fn with_augmentation(
        images: Arc<ImageFileSet>,
        side: u32,
        normalization: Normalization,
        augmentation: CropAugmentation,
        seed: u64,
        bad: BadImages,
    ) -> Self {
        Self {
            augmentation: Some((augmentation, seed)),
            ..Self::new(images, side, normalization, bad)
        }
    }
}

impl Examples for FileExamples {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> [usize; 3] {
        [CHANNELS, self.side as usize, self.side as usize]
    }

    fn prepare(&self, epoch: u64, index: usize, image: &mut [f32]) -> Result<Option<usize>, DataError> {
        let pixels = match self.images.load(index) {
            Ok(pixels) => pixels,
            Err(error) => return self.bad.record(index, error).map(|()| None),
        };
        match self.augmentation {
            None => crop::write_centre(&pixels, self.side, &self.normalization, image),
            Some((augmentation, seed)) => {
                let draw = augmentation.draw(seed, epoch, index, pixels.dimensions());
                let pixels = draw.apply(&pixels, self.side);
                crop::write_planes(&pixels, draw.mirrored, &self.normalization, image);
            }
        }
        Ok(Some(usize::from(self.images.labels()[index])))
    }
}
