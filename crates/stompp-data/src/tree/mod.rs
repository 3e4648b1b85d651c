//! Image files by class, as ImageNet comes: [`ImageTree`], and [`TreeSet`], its training or validation part.

mod index;
mod labels;
mod layout;
mod matlab;

use crate::codec::{self, Decoded};
use crate::store::{Member, Stamp, Store};
use crate::{DataError, Labelled};
use image::RgbImage;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// Labelled image files for training and validation: read one by one when wanted, never all at once.
///
/// `path` is one of
///
/// - a folder with `train` and `val`, each a folder, or `train.tar` and `val.tar` (or `.zip`),
/// - one `.tar`, `.zip` or pack with `train/...` and `val/...` in it, also below one more folder.
///
/// Below `train` there is a folder for each class, with images anywhere in it; so below `val`, or `val` is flat and the
/// labels are in a file of their own ([`ImageTree::open`]). In a `.tar`, a `.tar` of a class stands for its folder. What
/// is not called `.jpeg`, `.jpg` or `.png` is not looked at. **Classes are sorted by name**, byte by byte, so a class has
/// the same number as in torchvision's `ImageFolder`.
#[derive(Clone, Debug)]
pub struct ImageTree {
    /// Images to train on.
    pub train: TreeSet,
    /// Images to validate on.
    pub val: TreeSet,
    stamps: Vec<Stamp>,
}

/// Labelled image files, never none.
#[derive(Clone, Debug)]
pub struct TreeSet {
    name: String,
    classes: Arc<[String]>,
    store: Arc<Store>,
    members: Vec<Member>,
    labels: Vec<u16>,
}

impl ImageTree {
    /// Lists the images of `path`; none is opened.
    ///
    /// `labels` says what the images of a flat `val` show. It is one of
    ///
    /// - `ILSVRC2012_validation_ground_truth.txt` of the official development kit: a number a line, for the images in
    ///   the order of their names; `meta.mat` of the kit, which says what the numbers mean, must be beside it;
    /// - a text with `NAME CLASS` on each line, the class a name or, from 0, its number among the sorted names;
    /// - the same as a `.csv`, with or without a header (such as `LOC_val_solution.csv`, of whose second column the first
    ///   word counts).
    ///
    /// # Errors
    /// [`DataError`] naming the folder, archive or list at fault: missing, unreadable, without images, with a class that
    /// training does not have, or with a list that does not fit the images.
    pub fn open(path: impl AsRef<Path>, labels: Option<&Path>) -> Result<Self, DataError> {
        layout::open(path.as_ref(), labels)
    }

    /// As [`open`](Self::open), but takes the list from `index` if one was kept there and no folder or archive has
    /// changed since. A file of a folder that is changed later is found out when it is read.
    ///
    /// # Errors
    /// As [`open`](Self::open). An index that cannot be read, or of something else, is not used and no error.
    pub fn open_indexed(path: impl AsRef<Path>, labels: Option<&Path>, index: &Path) -> Result<Self, DataError> {
        match index::load(index, path.as_ref(), labels) {
            Some(tree) => Ok(tree),
            None => Self::open(path, labels),
        }
    }

    /// The list as bytes to be kept in a file for [`open_indexed`](Self::open_indexed), given what it was
    /// [opened](Self::open) with.
    pub fn index(&self, path: &Path, labels: Option<&Path>) -> Vec<u8> {
        index::to_bytes(self, path, labels)
    }

    /// Names of the classes, sorted; a label is a place in it.
    pub fn class_names(&self) -> &[String] {
        &self.train.classes
    }
}

impl TreeSet {
    /// Number of images; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Names of the classes, sorted; a label is a place in it.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// The name of image `index`, `CLASS/...`, whatever it is kept in.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image_name(&self, index: usize) -> String {
        let (name, class) = (
            &self.members[index].name,
            &self.classes[usize::from(self.labels[index])],
        );
        let mut parts = name.split('/');
        // Of an image that is not in the folder of its class, the file's own name.
        let below = match parts.find(|part| part == class) {
            Some(_) => parts.collect::<Vec<_>>().join("/"),
            None => name.rsplit('/').next().unwrap_or(name).to_owned(),
        };
        format!("{class}/{below}")
    }

    /// Reads and decodes image `index`.
    ///
    /// # Errors
    /// [`DataError::Read`] or [`DataError::BadImage`], which name the file.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn load(&self, index: usize) -> Result<RgbImage, DataError> {
        self.inspect(index).map(|(decoded, _)| decoded.pixels)
    }

    /// As [`load`](Self::load), with the file that it was.
    pub(crate) fn inspect(&self, index: usize) -> Result<(Decoded, Cow<'_, [u8]>), DataError> {
        let member = &self.members[index];
        let bytes = self.store.read(member)?;
        match codec::decode(&bytes) {
            Ok(decoded) => Ok((decoded, bytes)),
            Err(problem) => Err(DataError::BadImage {
                file: self.store.file(member),
                problem,
            }),
        }
    }
}

impl Labelled for TreeSet {
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
            members: indices.iter().map(|&index| self.members[index].clone()).collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }
}
