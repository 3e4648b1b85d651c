//! Assigns files to training and validation images and to classes, by their names.

use super::filter::{FoundImages, class};
use super::labels::Labels;
use super::parts::{self, PARTS, TreeNotes};
use super::{ImageFileSet, ImageTree, TreeOptions};
use crate::cifar::Split;
use crate::error::{DataFile, read_error};
use crate::store::Store;
use crate::{DataError, OnBadImage};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Labels are 16 bits wide.
const MOST_CLASSES: usize = 1 << 16;

pub(super) fn open(path: &Path, options: &TreeOptions<'_>) -> Result<ImageTree, DataError> {
    let metadata = std::fs::metadata(path).map_err(read_error(DataFile::from_path(path)))?;
    let asked = |part: &Split| options.part.is_none_or(|only| only == *part);
    let mut notes = TreeNotes::default();
    let mut found = [None, None];
    let (top, with_images);
    if metadata.is_dir() {
        let base = parts::base_folder(path)?;
        if base != path {
            // A folder with the parts may later be created above it.
            notes.stamps.push(parts::stamp(path)?);
        }
        for (found, part) in found.iter_mut().zip(PARTS).filter(|(_, part)| asked(part)) {
            *found = parts::in_folder(&base, part, &mut notes)?;
        }
        (top, with_images) = parts::top_of_folder(&base);
    } else {
        let store = Arc::new(Store::open(path)?);
        let mut listing = store.listing()?;
        notes.stamps.append(&mut listing.stamps);
        notes.faults.append(
            &mut listing
                .faults
                .iter()
                .map(|fault| format!("{} {fault}", path.display()))
                .collect(),
        );
        let base = parts::base_in_archive(&store, &listing)?;
        for (found, part) in found.iter_mut().zip(PARTS).filter(|(_, part)| asked(part)) {
            *found = parts::in_archive(&store, &listing, &base, part)?;
        }
        (top, with_images) = parts::top_of_archive(&listing, &base);
    }
    let [train, val] = found;
    let has_any = train.is_some() || val.is_some();
    let missing = |part| parts::missing(part, has_any, &top, &with_images);
    if !has_any {
        return Err(DataError::Tree {
            path: path.to_owned(),
            problem: missing(options.part.unwrap_or(Split::Train)),
        });
    }
    let mut tree = labelled(path, options, train, val, &mut notes)?;
    tree.missing = [missing(Split::Train), missing(Split::Test)];
    tree.stamps = notes.stamps;
    tree.faults = notes.faults;
    match tree.faults.first().filter(|_| options.on_fault == OnBadImage::Fail) {
        Some(fault) => Err(DataError::Incomplete(fault.clone())),
        None => Ok(tree),
    }
}

/// Assigns a class to every image.
fn labelled(
    path: &Path,
    options: &TreeOptions<'_>,
    train: Option<FoundImages>,
    val: Option<FoundImages>,
    notes: &mut TreeNotes,
) -> Result<ImageTree, DataError> {
    let list = match (&val, options.labels) {
        (Some(_), Some(list)) => {
            notes.stamps.push(parts::stamp(list)?);
            Some(Labels::read(list)?)
        }
        (Some(val), None) if has_no_class(val) => {
            let inside = |member| Labels::read_member(&val.store, member);
            val.annotations.iter().next().map(inside).transpose()?
        }
        _ => None,
    };
    let classes: Arc<[String]> = match (options.classes, &train, &val) {
        (Some(classes), ..) => classes.into(),
        (None, Some(train), _) => classes_of(train)?.into(),
        (None, None, Some(val)) => match &list {
            Some(list) => list.classes().into(),
            None => classes_of(val)?.into(),
        },
        (None, None, None) => Arc::default(),
    };
    let known = ClassNames {
        classes: &classes,
        otherwise: match options.classes {
            Some(_) => "is not among the classes of the training",
            None => "has no training images",
        },
    };
    let train_labels = train.as_ref().map(|train| known.by_folder(train)).transpose()?;
    let val_labels = match (&val, &list) {
        (Some(val), Some(list)) => {
            let names: Vec<&str> = val.names().collect();
            Some(list.for_images(&names, &known)?)
        }
        (Some(val), None) => Some(known.by_folder(val)?),
        (None, _) => None,
    };
    let mut set = |found: Option<FoundImages>, labels: Option<Vec<u16>>| {
        let (mut found, labels) = found.zip(labels)?;
        notes.faults.append(&mut found.faults);
        Some(ImageFileSet {
            name: format!("{} {}", path.display(), found.name),
            classes: Arc::clone(&classes),
            store: found.store,
            members: found.images,
            labels,
            ignored: found.ignored.into(),
            changed: Arc::default(),
        })
    };
    Ok(ImageTree {
        train: set(train, train_labels),
        val: set(val, val_labels),
        classes: Arc::clone(&classes),
        path: path.to_owned(),
        missing: Default::default(),
        faults: Vec::new(),
        stamps: Vec::new(),
        is_from_list: false,
    })
}

/// Whether a part is flat, or all its images are in Tiny ImageNet's folder `images`.
fn has_no_class(found: &FoundImages) -> bool {
    found
        .names()
        .all(|name| class(name).is_none_or(|folder| folder == "images"))
}

/// The class folders of a part, sorted.
fn classes_of(found: &FoundImages) -> Result<Vec<String>, DataError> {
    let mut classes = BTreeSet::new();
    for name in found.names() {
        let class = class(name).ok_or_else(|| no_class_error(found, name))?;
        if !classes.contains(class) {
            classes.insert(class.to_owned());
        }
    }
    if classes.len() > MOST_CLASSES {
        return Err(DataError::Tree {
            path: found.store.path().to_owned(),
            problem: format!("has {} classes, expected at most {MOST_CLASSES}", classes.len()),
        });
    }
    Ok(classes.into_iter().collect())
}

/// The error for an image that is not in a class folder.
fn no_class_error(found: &FoundImages, name: &str) -> DataError {
    let problem = match found.name {
        "val" => format!(
            "val image {name} is not in the folder of a class: a flat val needs a list of labels, given with --labels FILE"
        ),
        _ => format!("training image {name} is not in the folder of a class"),
    };
    DataError::Tree {
        path: found.store.path().to_owned(),
        problem,
    }
}

/// The known classes, sorted.
pub(super) struct ClassNames<'a> {
    pub(super) classes: &'a [String],
    /// The problem of an unknown class, for messages.
    pub(super) otherwise: &'static str,
}

impl ClassNames<'_> {
    fn by_folder(&self, found: &FoundImages) -> Result<Vec<u16>, DataError> {
        let label = |name| {
            let folder = class(name).ok_or_else(|| no_class_error(found, name))?;
            self.named(folder).ok_or_else(|| DataError::Tree {
                path: found.store.path().to_owned(),
                problem: format!(
                    "{} image {name} is of class {folder}, which {}",
                    found.name, self.otherwise
                ),
            })
        };
        found.names().map(label).collect()
    }

    /// The label of a class.
    pub(super) fn named(&self, class: &str) -> Option<u16> {
        let place = self.classes.binary_search_by(|known| known.as_str().cmp(class)).ok();
        place.map(|place| place as u16)
    }
}
