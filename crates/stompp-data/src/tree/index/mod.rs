//! The list of a tree's images, cached in a JSON file. It is used only if everything that it was made from is unchanged.

use super::{ImageFileSet, ImageTree, TreeChanges, TreeOptions, parts::PARTS};
use crate::OnBadImage;
use crate::cifar::Split;
use crate::store::{FileStamp, Member, Store};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    path: PathBuf,
    labels: Option<PathBuf>,
    /// The stamps of every folder or archive, and of the list of labels.
    stamps: Vec<FileStamp>,
    classes: Vec<String>,
    train: Option<Part>,
    val: Option<Part>,
    /// The messages about missing parts: `train`, then `val`.
    missing: [String; 2],
    faults: Vec<String>,
}

/// One part of the tree.
#[derive(Serialize, Deserialize)]
struct Part {
    store: PathBuf,
    members: Vec<Member>,
    labels: Vec<u16>,
    ignored: Vec<String>,
}

impl Index {
    /// Reads an index from a file. `None` if it is unreadable or inconsistent.
    fn read(file: &Path) -> Option<Self> {
        let index: Self = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let sound = |part: &Part| {
            let fits = part.members.len() == part.labels.len() && !part.labels.is_empty();
            let below = |&label: &u16| usize::from(label) < index.classes.len();
            fits && part.labels.iter().all(below)
        };
        let all_sound = [&index.train, &index.val].into_iter().flatten().all(sound);
        (index.version == VERSION && all_sound).then_some(index)
    }
}

pub(super) fn to_bytes(tree: &ImageTree, labels: Option<&Path>) -> Vec<u8> {
    let part = |set: &ImageFileSet| Part {
        store: set.store.path().to_owned(),
        members: set.members.clone(),
        labels: set.labels.clone(),
        ignored: set.ignored.to_vec(),
    };
    let index = Index {
        version: VERSION,
        path: tree.path.clone(),
        labels: labels.map(Path::to_owned),
        stamps: tree.stamps.clone(),
        classes: tree.class_names().to_vec(),
        train: tree.train.as_ref().map(part),
        val: tree.val.as_ref().map(part),
        missing: tree.missing.clone(),
        faults: tree.faults.clone(),
    };
    serde_json::to_vec(&index).expect("paths that were listed are UTF-8")
}

/// Loads the tree from the index in `file`, if the index is of the same tree and still valid.
pub(super) fn load(file: &Path, path: &Path, options: &TreeOptions<'_>) -> Option<ImageTree> {
    let mut index = Index::read(file)?;
    for (part, kept) in PARTS.into_iter().zip([&mut index.train, &mut index.val]) {
        if options.part.is_some_and(|only| only != part) {
            *kept = None;
        }
    }
    let asked = index.path == path && index.labels.as_deref() == options.labels;
    let classes = options.classes.is_none_or(|classes| classes == index.classes);
    // A part that was missing when the list was made may have been added since.
    let complete = match options.part {
        None => index.train.is_some() && index.val.is_some(),
        Some(_) => index.train.is_some() || index.val.is_some(),
    };
    let whole = index.faults.is_empty() || options.on_fault == OnBadImage::Skip;
    if !asked || !classes || !complete || !whole || !index.stamps.iter().all(FileStamp::is_unchanged) {
        return None;
    }
    let classes: Arc<[String]> = index.classes.into();
    let set = |name, part: Part| {
        Some(ImageFileSet {
            name: format!("{} {name}", path.display()),
            classes: Arc::clone(&classes),
            store: Arc::new(Store::open(&part.store).ok()?),
            members: part.members,
            labels: part.labels,
            ignored: part.ignored.into(),
            changed: Arc::default(),
        })
    };
    let opened = |name, part: Option<Part>| match part {
        Some(part) => set(name, part).map(Some),
        None => Some(None),
    };
    Some(ImageTree {
        train: opened("train", index.train)?,
        val: opened("val", index.val)?,
        classes: Arc::clone(&classes),
        path: path.to_owned(),
        missing: index.missing,
        faults: index.faults,
        stamps: index.stamps,
    })
}

/// The differences between a tree and the list in a file; `None` if there is no readable list.
pub(super) fn changes(file: &Path, tree: &ImageTree) -> Option<TreeChanges> {
    let index = Index::read(file)?;
    let classes: Arc<[String]> = index.classes.into();
    let mut changes = TreeChanges::default();
    for (part, kept) in [(Split::Train, index.train), (Split::Test, index.val)] {
        let (Some(kept), Some(set)) = (kept, tree.set(part)) else {
            continue;
        };
        let same_store = kept.store == set.store.path();
        let old = ImageFileSet {
            name: String::new(),
            classes: Arc::clone(&classes),
            store: Arc::clone(&set.store),
            members: kept.members,
            labels: kept.labels,
            ignored: Arc::default(),
            changed: Arc::default(),
        };
        let mut known: HashMap<String, &Member> = (0..old.len())
            .map(|image| (old.image_name(image), &old.members[image]))
            .collect();
        for (image, member) in set.members.iter().enumerate() {
            let name = set.image_name(image);
            match known.remove(&name) {
                None => changes.new.push(name),
                // The place is a time in a folder, but an offset in an archive, where it may change for an unchanged file.
                Some(before) => {
                    let other_place = set.store.is_folder() && before.place != member.place;
                    if same_store && (before.bytes != member.bytes || other_place) {
                        changes.changed.push(name);
                    }
                }
            }
        }
        let mut gone: Vec<String> = known.into_keys().collect();
        gone.sort();
        changes.gone.append(&mut gone);
    }
    Some(changes)
}
