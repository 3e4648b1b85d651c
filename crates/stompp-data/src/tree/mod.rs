//! Image files in class folders, the layout of ImageNet: [`ImageTree`], and [`ImageFileSet`], its training or validation part.

mod filter;
mod index;
mod labels;
mod layout;
mod matlab;
mod parts;

use crate::cifar::Split;
use crate::codec::{self, Decoded};
use crate::names::file_name;
use crate::store::{Content, FileStamp, Members, Store};
use crate::{DataError, Labelled, OnBadImage};
use image::RgbImage;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Labelled image files for training and validation. Each file is read when it is needed.
///
/// `path` is one of
///
/// - a folder with `train` and `val`, each a folder, or `train.tar` and `val.tar` (or `.zip`),
/// - one `.tar` or `.zip` with `train/...` and `val/...` in it.
///
/// In both, `train` and `val` may also be below other folders, such as Kaggle's `ILSVRC/Data/CLS-LOC`. One of them is enough, unless the
/// other is requested.
///
/// `train` contains a folder for each class, with images at any depth. `val` has the same layout, or it is flat and the
/// labels are in a separate file ([`TreeOptions::labels`]), or in Tiny ImageNet's `val_annotations.txt`. In a `.tar`, a class may be
/// a `.tar` instead of a folder. Links are followed, also in archives. **Classes are sorted by name**, byte by byte, so a class
/// has the same number as in torchvision's `ImageFolder`.
///
/// Images have the extensions `.jpeg .jpg .jpe .jfif .png .webp .bmp .gif .tiff .tif .ppm .pgm .pbm .pnm`. [`ImageFileSet::ignored`]
/// lists what is ignored: other files, hidden files, and the folders of tools, such as `.ipynb_checkpoints` and `@eaDir`.
#[derive(Clone, Debug)]
pub struct ImageTree {
    train: Option<ImageFileSet>,
    val: Option<ImageFileSet>,
    classes: Arc<[String]>,
    path: PathBuf,
    /// The messages about missing parts.
    missing: [String; 2],
    faults: Vec<String>,
    stamps: Vec<FileStamp>,
    /// Whether a saved list was used.
    is_from_list: bool,
}

/// Options of [`ImageTree::open_with`]. By default it opens every part that exists, and a damaged archive is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeOptions<'a> {
    /// The file with the labels of a flat `val`. One of
    ///
    /// - `ILSVRC2012_validation_ground_truth.txt` of the official development kit: one number per line, for the images in
    ///   the order of their names; the kit's `meta.mat`, which maps the numbers to classes, must be in the same folder;
    /// - a text with `NAME CLASS` on each line; the class is a name, or an index from 0 in the sorted names;
    /// - the same as a `.csv`, with or without a header (such as `LOC_val_solution.csv`). Only the first word of the second
    ///   column is used.
    pub labels: Option<&'a Path>,
    /// Opens only this part ([`Split::Test`] is `val`).
    pub part: Option<Split>,
    /// The sorted classes, if they are known from the training of a network. By default they are the folders of `train`, or of `val` if
    /// there is no `train`.
    pub classes: Option<&'a [String]>,
    /// What to do with a damaged archive, in which images may be missing, and with a broken link to a class folder: return an
    /// error, or list it in [`ImageTree::problems`].
    pub on_fault: OnBadImage,
    /// A saved list of the images. It is used if no folder or archive has changed since. If a single file in a folder has changed, its new
    /// content is read, and [`ImageFileSet::changed_files`] lists it.
    pub index: Option<SavedList<'a>>,
}

/// A saved list of images ([`ImageTree::index`]).
#[derive(Clone, Copy, Debug)]
pub enum SavedList<'a> {
    /// In a file, if it exists.
    File(&'a Path),
    /// In memory.
    Bytes(&'a [u8]),
}

/// How much of a task over all images of a tree is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images done so far, readable or not.
    pub done: usize,
    /// All images.
    pub total: usize,
}

/// The differences between the images of a tree and a saved list ([`ImageTree::changes`]). Images are named `CLASS/...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeChanges {
    /// Images that no longer exist.
    pub gone: Vec<String>,
    /// Images that are not in the list.
    pub new: Vec<String>,
    /// Images whose files have changed.
    pub changed: Vec<String>,
}

/// A set of labelled image files, never empty.
#[derive(Clone, Debug)]
pub struct ImageFileSet {
    name: String,
    classes: Arc<[String]>,
    store: Arc<Store>,
    members: Members,
    labels: Vec<u16>,
    ignored: Arc<[String]>,
    /// Names of files that had changed when they were read. Subsets of a set share the list.
    changed: Arc<Mutex<BTreeSet<String>>>,
}

impl ImageTree {
    /// Lists the images of `path`, without opening their files. `labels` is [`TreeOptions::labels`].
    ///
    /// # Errors
    /// Same as [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>, labels: Option<&Path>) -> Result<Self, DataError> {
        Self::open_with(
            path,
            &TreeOptions {
                labels,
                ..TreeOptions::default()
            },
        )
    }

    /// Lists the images of `path`, without opening their files.
    ///
    /// # Errors
    /// Returns a [`DataError`] that names the folder, archive or list if it is missing, unreadable or without images, has an
    /// unknown class, or does not match the images. Returns [`DataError::Incomplete`] if an archive is damaged or cut off.
    /// An index that is unreadable or of another tree is ignored.
    pub fn open_with(path: impl AsRef<Path>, options: &TreeOptions<'_>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let kept = options.index.and_then(|index| index::load(index, path, options));
        kept.map_or_else(|| layout::open(path, options), Ok)
    }

    /// Whether the images are those of the saved list in [`TreeOptions::index`], which was still valid.
    pub fn is_from_list(&self) -> bool {
        self.is_from_list
    }

    /// Returns the list of images as bytes, for [`TreeOptions::index`]. `labels` must be those that the tree was
    /// opened with.
    pub fn index(&self, labels: Option<&Path>) -> Vec<u8> {
        index::to_bytes(self, labels)
    }

    /// Compares the images with a saved list; `None` if there is no such list. Parts that are missing in either are not compared.
    pub fn changes(&self, index: SavedList<'_>) -> Option<TreeChanges> {
        index::changes(index, self)
    }

    /// Returns the training images.
    ///
    /// # Errors
    /// Returns [`DataError::Tree`], which says what to do, if there are none.
    pub fn train(&self) -> Result<&ImageFileSet, DataError> {
        self.train.as_ref().ok_or_else(|| self.missing(Split::Train))
    }

    /// Returns the validation images.
    ///
    /// # Errors
    /// Returns [`DataError::Tree`], which says what to do, if there are none.
    pub fn val(&self) -> Result<&ImageFileSet, DataError> {
        self.val.as_ref().ok_or_else(|| self.missing(Split::Test))
    }

    /// Takes a part out of the tree.
    ///
    /// # Errors
    /// Returns [`DataError::Tree`] if the part is missing.
    pub fn take_split(&mut self, part: Split) -> Result<ImageFileSet, DataError> {
        let set = match part {
            Split::Train => self.train.take(),
            Split::Test => self.val.take(),
        };
        set.ok_or_else(|| self.missing(part))
    }

    /// Number of images in all parts.
    pub(crate) fn images(&self) -> usize {
        self.parts().map(|(_, set)| set.len()).sum()
    }

    /// Iterates over the parts that exist, each with its name, `train` or `val`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &ImageFileSet)> {
        [("train", &self.train), ("val", &self.val)]
            .into_iter()
            .filter_map(|(name, set)| Some((name, set.as_ref()?)))
    }

    fn set(&self, part: Split) -> Option<&ImageFileSet> {
        match part {
            Split::Train => self.train.as_ref(),
            Split::Test => self.val.as_ref(),
        }
    }

    fn missing(&self, part: Split) -> DataError {
        DataError::Tree {
            path: self.path.clone(),
            problem: self.missing[part as usize].clone(),
        }
    }

    /// Names of the classes, sorted; a label is a place in it.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// Damage in the archives or folders, because of which images may be missing. Empty unless [`TreeOptions::on_fault`] is
    /// [`OnBadImage::Skip`].
    pub fn problems(&self) -> &[String] {
        &self.faults
    }
}

impl TreeChanges {
    /// Whether images were added or removed.
    pub fn is_different_list(&self) -> bool {
        !self.gone.is_empty() || !self.new.is_empty()
    }
}

impl ImageFileSet {
    /// Number of images; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Names of the classes, sorted; a label is a place in it.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// The name of image `index`, `CLASS/...`, independent of the kind of folder or archive.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn image_name(&self, index: usize) -> String {
        let (class, below) = self.class_and_name(index);
        format!("{class}/{below}")
    }

    /// The class of image `index`, and the image's name in it.
    fn class_and_name(&self, index: usize) -> (&str, &str) {
        let class = self.classes[usize::from(self.labels[index])].as_str();
        let name = self.members.get(index).name;
        let mut start = 0;
        for part in name.split('/') {
            let end = start + part.len() + 1;
            if part == class {
                return (class, name.get(end..).unwrap_or_default());
            }
            start = end;
        }
        // An image that is not in its class folder.
        (class, file_name(name))
    }

    /// Ignored files and folders: one line per reason, with counts and names.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Names of the files that had changed since they were listed when they were read.
    pub fn changed_files(&self) -> Vec<String> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.iter().cloned().collect()
    }

    /// Reads and decodes image `index`.
    ///
    /// # Errors
    /// Returns [`DataError::Read`], [`DataError::TooLarge`] or [`DataError::BadImage`] if the file cannot be read or decoded.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn load(&self, index: usize) -> Result<RgbImage, DataError> {
        self.inspect(index).map(|(decoded, _)| decoded.pixels)
    }

    /// Like [`load`](Self::load), but also returns the bytes of the file.
    pub(crate) fn inspect(&self, index: usize) -> Result<(Decoded, Vec<u8>), DataError> {
        let member = self.members.get(index);
        let Content { bytes, changed } = self.store.read(member)?;
        if changed {
            let file = self.store.file(member).to_string();
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
        }
        match codec::decode(&bytes) {
            Ok(decoded) => Ok((decoded, bytes)),
            Err(problem) => Err(DataError::BadImage {
                file: self.store.file(member),
                problem,
            }),
        }
    }
}

impl Labelled for ImageFileSet {
    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> usize {
        self.classes.len()
    }

    fn labels(&self) -> &[u16] {
        &self.labels
    }

    fn select(&self, indices: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            classes: Arc::clone(&self.classes),
            store: Arc::clone(&self.store),
            members: self.members.select(indices.iter().copied()),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            ignored: Arc::clone(&self.ignored),
            changed: Arc::clone(&self.changed),
        }
    }
}
