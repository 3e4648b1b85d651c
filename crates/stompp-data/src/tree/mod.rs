//! Image files by class, as ImageNet comes: [`ImageTree`], and [`ImageFileSet`], its training or validation part.

mod filter;
mod index;
mod labels;
mod layout;
mod matlab;
mod parts;

use crate::cifar::Split;
use crate::codec::{self, Decoded};
use crate::store::{Content, FileStamp, Member, Store};
use crate::{DataError, Labelled, OnBadImage};
use image::RgbImage;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Labelled image files for training and validation: read one by one when wanted, never all at once.
///
/// `path` is one of
///
/// - a folder with `train` and `val`, each a folder, or `train.tar` and `val.tar` (or `.zip`),
/// - one `.tar` or `.zip` with `train/...` and `val/...` in it.
///
/// In both, `train` and `val` may also be below other folders, such as Kaggle's `ILSVRC/Data/CLS-LOC`. One of them is enough, until the
/// other is asked for.
///
/// Below `train` there is a folder for each class, with images anywhere in it; so below `val`, or `val` is flat and the
/// labels are in a file of their own ([`TreeOptions::labels`]), or in Tiny ImageNet's `val_annotations.txt`. In a `.tar`, a `.tar` of a
/// class stands for its folder. Links are followed, in archives as in folders. **Classes are sorted by name**, byte by byte, so a class
/// has the same number as in torchvision's `ImageFolder`.
///
/// Images are told by their endings: `.jpeg .jpg .jpe .jfif .png .webp .bmp .gif .tiff .tif .ppm .pgm .pbm .pnm`. What is not looked at
/// is told by [`ImageFileSet::ignored`]: other files, hidden ones, and the folders of tools, such as `.ipynb_checkpoints` and `@eaDir`.
#[derive(Clone, Debug)]
pub struct ImageTree {
    train: Option<ImageFileSet>,
    val: Option<ImageFileSet>,
    classes: Arc<[String]>,
    path: PathBuf,
    /// What to say of a part that is not there.
    missing: [String; 2],
    faults: Vec<String>,
    stamps: Vec<FileStamp>,
}

/// How [`ImageTree::open_with`] opens a tree. The default: both parts if they are there, and a damaged archive is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeOptions<'a> {
    /// What the images of a flat `val` show. One of
    ///
    /// - `ILSVRC2012_validation_ground_truth.txt` of the official development kit: a number a line, for the images in
    ///   the order of their names; `meta.mat` of the kit, which says what the numbers mean, must be beside it;
    /// - a text with `NAME CLASS` on each line, the class a name or, from 0, its number among the sorted names;
    /// - the same as a `.csv`, with or without a header (such as `LOC_val_solution.csv`, of whose second column the first
    ///   word counts).
    pub labels: Option<&'a Path>,
    /// Only this part ([`Split::Test`] is `val`); the other is not looked for.
    pub part: Option<Split>,
    /// The classes, sorted, if they are known: those that a network was trained on. Otherwise the folders of `train`, or of `val` if that
    /// is all there is.
    pub classes: Option<&'a [String]>,
    /// What becomes of an archive that is damaged or cut off, so that images may be missing, and of a link to a folder that is not
    /// there: an error, or told by [`ImageTree::problems`].
    pub on_fault: OnBadImage,
    /// Where a list of the images may have been kept ([`ImageTree::index`]). It is used if no folder or archive has changed since. A
    /// file of a folder that is changed later is read as it is then, and told by [`ImageFileSet::changed_files`].
    pub index: Option<&'a Path>,
}

/// How the images of a tree differ from those of a list that was kept ([`ImageTree::changes`]). Images are named `CLASS/...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeChanges {
    /// Images that are not there any more.
    pub gone: Vec<String>,
    /// Images that were not there.
    pub new: Vec<String>,
    /// Images whose files were written anew.
    pub changed: Vec<String>,
}

/// Labelled image files, never none.
#[derive(Clone, Debug)]
pub struct ImageFileSet {
    name: String,
    classes: Arc<[String]>,
    store: Arc<Store>,
    members: Vec<Member>,
    labels: Vec<u16>,
    ignored: Arc<[String]>,
    /// Names of files that were not what was listed when they were read. Parts of a set share it.
    changed: Arc<Mutex<BTreeSet<String>>>,
}

impl ImageTree {
    /// Lists the images of `path`; none is opened. `labels` is [`TreeOptions::labels`].
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>, labels: Option<&Path>) -> Result<Self, DataError> {
        Self::open_with(
            path,
            &TreeOptions {
                labels,
                ..TreeOptions::default()
            },
        )
    }

    /// Lists the images of `path`; none is opened.
    ///
    /// # Errors
    /// [`DataError`] naming the folder, archive or list at fault: missing, unreadable, without images, with a class that
    /// is not known, or with a list that does not fit the images; [`DataError::Incomplete`] for an archive that is damaged or cut off.
    /// An index that cannot be read, or of something else, is not used and no error.
    pub fn open_with(path: impl AsRef<Path>, options: &TreeOptions<'_>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let kept = options.index.and_then(|index| index::load(index, path, options));
        kept.map_or_else(|| layout::open(path, options), Ok)
    }

    /// The list as bytes to be kept in a file for [`TreeOptions::index`], given the labels that it was opened with.
    pub fn index(&self, labels: Option<&Path>) -> Vec<u8> {
        index::to_bytes(self, labels)
    }

    /// How the images differ from those in the list that was kept in the file `index`; `None` if there is no such list. Parts that one
    /// of them has not are left out.
    pub fn changes(&self, index: &Path) -> Option<TreeChanges> {
        index::changes(index, self)
    }

    /// Images to train on.
    ///
    /// # Errors
    /// [`DataError::Tree`] if there are none, with what to do.
    pub fn train(&self) -> Result<&ImageFileSet, DataError> {
        self.train.as_ref().ok_or_else(|| self.missing(Split::Train))
    }

    /// Images to validate on.
    ///
    /// # Errors
    /// [`DataError::Tree`] if there are none, with what to do.
    pub fn val(&self) -> Result<&ImageFileSet, DataError> {
        self.val.as_ref().ok_or_else(|| self.missing(Split::Test))
    }

    /// Takes a part out of the tree.
    ///
    /// # Errors
    /// [`DataError::Tree`] if it is not there.
    pub fn take_split(&mut self, part: Split) -> Result<ImageFileSet, DataError> {
        let set = match part {
            Split::Train => self.train.take(),
            Split::Test => self.val.take(),
        };
        set.ok_or_else(|| self.missing(part))
    }

    /// The parts that are there, each with its name, `train` or `val`.
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

    /// What is wrong with the archives or folders, so that images may be missing; empty unless [`TreeOptions::on_fault`] lets it be.
    pub fn problems(&self) -> &[String] {
        &self.faults
    }
}

impl TreeChanges {
    /// Whether the list is another one: images have come or gone.
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

    /// What of its folder is not looked at, a line for each reason with counts and names.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Names of the files that were read and are not those that were listed: they were written anew since.
    pub fn changed_files(&self) -> Vec<String> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.iter().cloned().collect()
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
    pub(crate) fn inspect(&self, index: usize) -> Result<(Decoded, Vec<u8>), DataError> {
        let member = &self.members[index];
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
            members: indices.iter().map(|&index| self.members[index].clone()).collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            ignored: Arc::clone(&self.ignored),
            changed: Arc::clone(&self.changed),
        }
    }
}
