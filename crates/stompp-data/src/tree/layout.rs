//! From the names of files to training and validation images with classes.

use super::labels::Labels;
use super::{ImageTree, TreeSet};
use crate::DataError;
use crate::codec::is_image;
use crate::error::{DataFile, read_error};
use crate::store::{Member, Stamp, Store};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Labels are 16 bits wide.
const MOST_CLASSES: usize = 1 << 16;

/// Endings of the archives that a part may come in.
const ARCHIVES: [&str; 2] = ["tar", "zip"];

/// The images of one part: their names below it, and where they are.
struct Found {
    name: &'static str,
    store: Arc<Store>,
    /// Name below the part, such as `n01440764/a.JPEG`, and the file.
    images: Vec<(String, Member)>,
}

pub(super) fn open(path: &Path, labels: Option<&Path>) -> Result<ImageTree, DataError> {
    let metadata = std::fs::metadata(path).map_err(read_error(DataFile::on_disk(path)))?;
    let mut stamps = Vec::new();
    let (train, val) = if metadata.is_dir() {
        (part(path, "train", &mut stamps)?, part(path, "val", &mut stamps)?)
    } else {
        let store = Arc::new(Store::open(path)?);
        let (members, new) = store.members()?;
        stamps.extend(new);
        let below = |name| found(&store, name, below(&members, name));
        (below("train")?, below("val")?)
    };
    let classes = classes(&train)?;
    let train_labels = by_folder(&train, &classes)?;
    let val_labels = match labels {
        Some(list) => {
            stamps.push(Stamp::of(list).map_err(read_error(DataFile::on_disk(list)))?);
            Labels::read(list, &classes)?.of(val.images.iter().map(|(name, _)| name.as_str()))?
        }
        None => by_folder(&val, &classes)?,
    };
    let set = |found: Found, labels| TreeSet {
        name: format!("{} {}", path.display(), found.name),
        classes: Arc::clone(&classes),
        store: found.store,
        members: found.images.into_iter().map(|(_, member)| member).collect(),
        labels,
    };
    Ok(ImageTree {
        train: set(train, train_labels),
        val: set(val, val_labels),
        stamps,
    })
}

/// The part called `name` of the folder `root`: a folder, or an archive in which it may, but need not, be a folder again.
fn part(root: &Path, name: &'static str, stamps: &mut Vec<Stamp>) -> Result<Found, DataError> {
    let archives = ARCHIVES.map(|ending| root.join(format!("{name}.{ending}")));
    let mut candidates = std::iter::once(root.join(name)).chain(archives);
    let path: PathBuf = candidates.find(|path| path.exists()).ok_or_else(|| DataError::Tree {
        path: root.to_owned(),
        problem: format!("has no {name}: expected a folder {name}, or {name}.tar or {name}.zip"),
    })?;
    let store = Arc::new(Store::open(&path)?);
    let (members, new) = store.members()?;
    stamps.extend(new);
    let nested = below(&members, name);
    let images = if nested.is_empty() {
        members
            .into_iter()
            .map(|member| (member.name.clone(), member))
            .collect()
    } else {
        nested
    };
    found(&store, name, images)
}

/// The members below the folder `name`, itself at the top or below one more folder.
fn below(members: &[Member], name: &str) -> Vec<(String, Member)> {
    let rest = |path: &str| -> Option<String> {
        let (first, rest) = path.split_once('/')?;
        if first == name {
            return Some(rest.to_owned());
        }
        let (second, rest) = rest.split_once('/')?;
        (second == name).then(|| rest.to_owned())
    };
    members
        .iter()
        .filter_map(|member| Some((rest(&member.name)?, member.clone())))
        .collect()
}

/// Of these files the images; a class of which nothing is an image is an error, not a class less.
fn found(store: &Arc<Store>, name: &'static str, files: Vec<(String, Member)>) -> Result<Found, DataError> {
    let (images, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| is_image(name));
    let tree = |problem| DataError::Tree {
        path: store.path().to_owned(),
        problem,
    };
    if images.is_empty() {
        return Err(tree(format!("has no images (.jpeg, .jpg, .png) for {name}")));
    }
    let with_images: BTreeSet<&str> = images.iter().filter_map(|(name, _)| folder(name)).collect();
    let without = others
        .iter()
        .find_map(|(name, _)| folder(name).filter(|folder| !with_images.contains(folder)));
    if let Some(without) = without {
        return Err(tree(format!(
            "class {without} of {name} has files, but no images (.jpeg, .jpg, .png)"
        )));
    }
    Ok(Found {
        name,
        store: Arc::clone(store),
        images,
    })
}

/// The class's folder in the name of an image.
fn folder(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}

fn classes(train: &Found) -> Result<Arc<[String]>, DataError> {
    let mut classes = BTreeSet::new();
    for (name, member) in &train.images {
        let folder = folder(name).ok_or_else(|| DataError::Tree {
            path: train.store.path().to_owned(),
            problem: format!("training image {} is not in the folder of a class", member.name),
        })?;
        classes.insert(folder.to_owned());
    }
    if classes.len() > MOST_CLASSES {
        return Err(DataError::Tree {
            path: train.store.path().to_owned(),
            problem: format!("has {} classes, expected at most {MOST_CLASSES}", classes.len()),
        });
    }
    Ok(classes.into_iter().collect())
}

fn by_folder(found: &Found, classes: &[String]) -> Result<Vec<u16>, DataError> {
    let label = |(name, member): &(String, Member)| {
        let problem = match folder(name) {
            Some(folder) => match classes.binary_search_by(|class| class.as_str().cmp(folder)) {
                Ok(label) => return Ok(label as u16),
                Err(_) => format!(
                    "{} image {} is of class {folder}, which has no training images",
                    found.name, member.name
                ),
            },
            None => format!(
                "{} image {} is not in the folder of a class: a flat {} needs a list of labels",
                found.name, member.name, found.name
            ),
        };
        Err(DataError::Tree {
            path: found.store.path().to_owned(),
            problem,
        })
    };
    found.images.iter().map(label).collect()
}
