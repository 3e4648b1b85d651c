//! The list of a tree's images, kept in a file: JSON, used only while everything that it was made from is unchanged.

use super::{ImageTree, TreeSet};
use crate::store::{Member, Stamp, Store};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    path: PathBuf,
    labels: Option<PathBuf>,
    /// Of every folder, or archive, and of the list of labels.
    stamps: Vec<Stamp>,
    classes: Vec<String>,
    train: Part,
    val: Part,
}

/// One part of the tree.
#[derive(Serialize, Deserialize)]
struct Part {
    store: PathBuf,
    members: Vec<Member>,
    labels: Vec<u16>,
}

pub(super) fn to_bytes(tree: &ImageTree, path: &Path, labels: Option<&Path>) -> Vec<u8> {
    let part = |set: &TreeSet| Part {
        store: set.store.path().to_owned(),
        members: set.members.clone(),
        labels: set.labels.clone(),
    };
    let index = Index {
        version: VERSION,
        path: path.to_owned(),
        labels: labels.map(Path::to_owned),
        stamps: tree.stamps.clone(),
        classes: tree.class_names().to_vec(),
        train: part(&tree.train),
        val: part(&tree.val),
    };
    serde_json::to_vec(&index).expect("paths that were listed are UTF-8")
}

/// The tree that the file lists, if it lists this one and still holds.
pub(super) fn load(file: &Path, path: &Path, labels: Option<&Path>) -> Option<ImageTree> {
    let index: Index = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let asked = index.version == VERSION && index.path == path && index.labels.as_deref() == labels;
    let sound = |part: &Part| {
        let fits = part.members.len() == part.labels.len() && !part.labels.is_empty();
        fits && part
            .labels
            .iter()
            .all(|&label| usize::from(label) < index.classes.len())
    };
    if !asked || !sound(&index.train) || !sound(&index.val) || !index.stamps.iter().all(Stamp::holds) {
        return None;
    }
    let classes: Arc<[String]> = index.classes.into();
    let set = |name, store, part: Part| TreeSet {
        name: format!("{} {name}", path.display()),
        classes: Arc::clone(&classes),
        store,
        members: part.members,
        labels: part.labels,
    };
    let train = Arc::new(Store::open(&index.train.store).ok()?);
    let val = match index.val.store == index.train.store {
        true => Arc::clone(&train),
        false => Arc::new(Store::open(&index.val.store).ok()?),
    };
    Some(ImageTree {
        train: set("train", train, index.train),
        val: set("val", val, index.val),
        stamps: index.stamps,
    })
}
