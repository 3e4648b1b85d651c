//! The list of a tree's images, saved in a file or in memory. It is used only if everything that it was made from is unchanged.

mod format;
mod old_format;

use super::{ImageFileSet, ImageTree, SavedList, TreeChanges, TreeOptions, parts::PARTS};
use crate::OnBadImage;
use crate::cifar::Split;
use crate::store::{FileStamp, Members, Store, with_many_requests};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A saved list: what it was made from, and the images.
struct Index {
    origin: Origin,
    train: Option<Part>,
    val: Option<Part>,
}

/// What a list was made from.
#[derive(Serialize, Deserialize)]
struct Origin {
    path: PathBuf,
    labels: Option<PathBuf>,
    /// The stamps of every folder or archive, and of the list of labels.
    stamps: Vec<FileStamp>,
    classes: Vec<String>,
    /// The messages about missing parts: `train`, then `val`.
    missing: [String; 2],
    faults: Vec<String>,
}

/// One part of the tree.
struct Part {
    store: PathBuf,
    ignored: Vec<String>,
    members: Members,
    labels: Vec<u16>,
}

impl Index {
    /// Reads an index. `None` if it is unreadable or inconsistent.
    fn read(list: SavedList<'_>) -> Option<Self> {
        let mut list: Box<dyn BufRead> = match list {
            SavedList::File(file) => Box::new(BufReader::new(File::open(file).ok()?)),
            SavedList::Bytes(bytes) => Box::new(bytes),
        };
        let index = match list.fill_buf().ok()?.first()? {
            b'{' => old_format::read(list)?,
            _ => format::read(list)?,
        };
        let sound = |part: &Part| {
            let fits = part.members.len() == part.labels.len() && !part.labels.is_empty();
            let below = |&label: &u16| usize::from(label) < index.origin.classes.len();
            fits && part.labels.iter().all(below)
        };
        let all_sound = [&index.train, &index.val].into_iter().flatten().all(sound);
        all_sound.then_some(index)
    }
}

pub(super) fn to_bytes(tree: &ImageTree, labels: Option<&Path>) -> Vec<u8> {
    let origin = Origin {
        path: tree.path.clone(),
        labels: labels.map(Path::to_owned),
        stamps: tree.stamps.clone(),
        classes: tree.class_names().to_vec(),
        missing: tree.missing.clone(),
        faults: tree.faults.clone(),
    };
    format::to_bytes(origin, [tree.train.as_ref(), tree.val.as_ref()])
}

/// Loads the tree from a saved list, if the list is of the same tree and still valid.
pub(super) fn load(list: SavedList<'_>, path: &Path, options: &TreeOptions<'_>) -> Option<ImageTree> {
    let mut index = Index::read(list)?;
    for (part, kept) in PARTS.into_iter().zip([&mut index.train, &mut index.val]) {
        if options.part.is_some_and(|only| only != part) {
            *kept = None;
        }
    }
    let origin = index.origin;
    let asked = origin.path == path && origin.labels.as_deref() == options.labels;
    let classes = options.classes.is_none_or(|classes| classes == origin.classes);
    // A part that was missing when the list was made may have been added since.
    let complete = match options.part {
        None => index.train.is_some() && index.val.is_some(),
        Some(_) => index.train.is_some() || index.val.is_some(),
    };
    let whole = origin.faults.is_empty() || options.on_fault == OnBadImage::Skip;
    if !asked || !classes || !complete || !whole || !are_unchanged(&origin.stamps)? {
        return None;
    }
    let classes: Arc<[String]> = origin.classes.into();
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
        missing: origin.missing,
        faults: origin.faults,
        stamps: origin.stamps,
        is_from_list: true,
    })
}

/// Whether all these files and folders are unchanged; `None` if that cannot be found out.
fn are_unchanged(stamps: &[FileStamp]) -> Option<bool> {
    with_many_requests(|| stamps.par_iter().all(FileStamp::is_unchanged)).ok()
}

/// The differences between a tree and a saved list; `None` if the list is unreadable.
pub(super) fn changes(list: SavedList<'_>, tree: &ImageTree) -> Option<TreeChanges> {
    let index = Index::read(list)?;
    let classes: Arc<[String]> = index.origin.classes.into();
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
        compare(&old, set, same_store, &mut changes);
    }
    Some(changes)
}

/// Adds the differences between two lists of images, found by their names, to `changes`.
fn compare(old: &ImageFileSet, new: &ImageFileSet, same_store: bool, changes: &mut TreeChanges) {
    let (old_order, new_order) = (order_by_name(old), order_by_name(new));
    let (mut olds, mut news) = (old_order.iter().peekable(), new_order.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(&&before), Some(&&now)) => old.class_and_name(before).cmp(&new.class_and_name(now)),
        };
        let before = olds.next_if(|_| order.is_le());
        let now = news.next_if(|_| order.is_ge());
        match (before, now) {
            (Some(&before), Some(&now)) => {
                let (before, member) = (old.members.get(before), new.members.get(now));
                // The place is a time in a folder, but an offset in an archive, where it may change for an unchanged file.
                let other_place = new.store.is_folder() && before.place != member.place;
                if same_store && (before.bytes != member.bytes || other_place) {
                    changes.changed.push(new.image_name(now));
                }
            }
            (Some(&before), None) => changes.gone.push(old.image_name(before)),
            (None, Some(&now)) => changes.new.push(new.image_name(now)),
            (None, None) => unreachable!("one of them is next"),
        }
    }
}

/// The indices of the images in the order of their names.
fn order_by_name(set: &ImageFileSet) -> Vec<usize> {
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by(|&a, &b| set.class_and_name(a).cmp(&set.class_and_name(b)));
    order
}
