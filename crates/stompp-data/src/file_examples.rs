//! Examples of image files: [`FileExamples`], and what becomes of files that cannot be read, [`BadImages`].

use crate::crop::{self, CropAugmentation};
use crate::{CHANNELS, DataError, Examples, ImageFileSet, Labelled, Normalization};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What becomes of an image that cannot be read or decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadImage {
    /// It is an error.
    #[default]
    Fail,
    /// It is left out of its batch, and listed in [`BadImages`]. Too many are an error: more than 1 % of a set's images, and more than
    /// 10, or than a quarter of a set of fewer than 40.
    Skip,
}

impl OnBadImage {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Fail, Self::Skip];

    /// The name in configurations.
    // By hand: for two names `strum` is not shorter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// Images of a small set that may be bad.
const FEW: usize = 10;

/// The bad images of a set that have been met so far. Clones share one list.
#[derive(Clone, Debug)]
pub struct BadImages {
    rule: OnBadImage,
    set: Arc<str>,
    images: usize,
    met: Arc<Mutex<BTreeMap<usize, String>>>,
}

impl BadImages {
    /// For the images of `set`, none met.
    pub fn new(rule: OnBadImage, set: &ImageFileSet) -> Self {
        Self {
            rule,
            set: set.name().into(),
            images: set.len(),
            met: Arc::default(),
        }
    }

    /// Images that may be bad: one of a hundred; of a small set more, because a few bad files are as likely there.
    fn allowed(&self) -> usize {
        (self.images / 100).max((self.images / 4).min(FEW))
    }

    /// What is wrong with each, naming its file, in the order of the set.
    pub fn list(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    /// Decides about an image that cannot be read.
    ///
    /// # Errors
    /// `error` if such an image is one, [`DataError::TooManyBadImages`] if there are too many.
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

/// Examples of a [`ImageFileSet`]: read, decoded, cut to a square and normalized when a loader asks for them.
#[derive(Clone, Debug)]
pub struct FileExamples {
    images: Arc<ImageFileSet>,
    side: u32,
    normalization: Normalization,
    augmentation: Option<(CropAugmentation, u64)>,
    bad: BadImages,
}

impl FileExamples {
    /// The centres of the images, `side` x `side`: resized so that the shorter side is 8/7 of that, 256 for 224. For evaluation.
    pub fn new(images: Arc<ImageFileSet>, side: u32, normalization: Normalization, bad: BadImages) -> Self {
        Self {
            images,
            side,
            normalization,
            augmentation: None,
            bad,
        }
    }

    /// Random parts of the images, `side` x `side`, anew in each epoch, for training. `seed` chooses them.
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
