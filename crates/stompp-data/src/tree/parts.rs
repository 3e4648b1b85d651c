//! Locates the parts of a tree, `train` and `val`, at the top or below other folders, in a folder or an archive.

use super::filter::{Contents, FoundImages, filter_images};
use crate::DataError;
use crate::cifar::Split;
use crate::codec::is_image;
use crate::error::{DataFile, read_error};
use crate::names::{is_tool_folder, tool_folder};
use crate::store::{FileStamp, Listing, Members, Store};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Extensions of archives of a part. For formats that cannot be read, the error says what to do.
const ARCHIVES: [&str; 7] = ["tar", "zip", "tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"];

/// Depth of the search for the parts: Kaggle has ImageNet in `ILSVRC/Data/CLS-LOC`.
const DEEPEST: usize = 4;

/// Limit of the number of folders searched, and of entries per folder.
const MOST_FOLDERS: usize = 4096;

/// Common names for `train` and `val` that are not accepted. The error for a missing part mentions them.
const OTHER_NAMES: [(&str, &[&str]); 2] = [
    ("train", &["training", "train_images"]),
    ("val", &["valid", "validation", "test", "testing", "dev"]),
];

/// The name of a part in a tree.
pub(super) fn name(part: Split) -> &'static str {
    match part {
        Split::Train => "train",
        Split::Test => "val",
    }
}

/// Both parts.
pub(super) const PARTS: [Split; 2] = [Split::Train, Split::Test];

/// Further results of listing folders and archives.
#[derive(Debug, Default)]
pub(super) struct TreeNotes {
    pub(super) stamps: Vec<FileStamp>,
    pub(super) faults: Vec<String>,
}

/// Finds the folder at or below `root` that contains the parts; `root` if there is none.
pub(super) fn base_folder(root: &Path) -> Result<PathBuf, DataError> {
    let mut level = vec![root.to_owned()];
    let mut seen = 0;
    for _ in 0..=DEEPEST {
        let has_parts = |folder: &&PathBuf| PARTS.iter().any(|&part| locate(folder, part).is_some());
        let mut holders: Vec<&PathBuf> = level.iter().filter(has_parts).collect();
        if holders.len() > 1 {
            // Kaggle's ImageNet has one `train` of annotations and one of images.
            holders.retain(|folder| has_images(folder));
        }
        match holders[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            [one, other, ..] => {
                return Err(ambiguous_error(
                    root,
                    &one.display().to_string(),
                    &other.display().to_string(),
                ));
            }
        }
        let mut next = Vec::new();
        for folder in &level {
            seen += 1;
            if seen > MOST_FOLDERS {
                return Ok(root.to_owned());
            }
            next.extend(subfolders(folder));
        }
        level = next;
    }
    Ok(root.to_owned())
}

/// The readable subfolders of a folder, sorted, without folders of tools.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_FOLDERS);
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| !is_tool_folder(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}

/// Whether a part in `folder` is an archive, or has an image among its first files.
fn has_images(folder: &Path) -> bool {
    let looks_so = |part: PathBuf| {
        !part.is_dir()
            || std::iter::once(part.clone())
                .chain(subfolders(&part))
                .take(16)
                .any(|folder| {
                    let files = fs::read_dir(folder).into_iter().flatten().flatten().take(256);
                    files
                        .into_iter()
                        .any(|file| is_image(&file.file_name().to_string_lossy()))
                })
    };
    PARTS.iter().filter_map(|&part| locate(folder, part)).any(looks_so)
}

fn ambiguous_error(root: &Path, one: &str, other: &str) -> DataError {
    DataError::Tree {
        path: root.to_owned(),
        problem: format!("contains more than one set of images, {one} and {other}; expected the path of one of them"),
    }
}

/// Finds the folder or archive of a part.
fn locate(root: &Path, part: Split) -> Option<PathBuf> {
    let name = name(part);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let mut archives = ARCHIVES.iter().map(|ending| root.join(format!("{name}.{ending}")));
    archives.find(|path| path.exists())
}

/// Lists a part in the folder `base`, if it exists: a folder, or an archive, which may contain the part's folder.
pub(super) fn in_folder(base: &Path, part: Split, notes: &mut TreeNotes) -> Result<Option<FoundImages>, DataError> {
    let Some(path) = locate(base, part) else {
        return Ok(None);
    };
    let store = Arc::new(Store::open(&path)?);
    let mut listing = store.listing()?;
    notes.stamps.append(&mut listing.stamps);
    notes.faults.append(
        &mut listing
            .faults
            .iter()
            .map(|fault| format!("{} {fault}", path.display()))
            .collect(),
    );
    let prefix = if store.is_folder() {
        String::new()
    } else {
        common_prefix(&listing, name(part))
    };
    let files = match prefix.as_str() {
        "" => std::mem::take(&mut listing.members),
        prefix => members_below(&listing, prefix),
    };
    filter_images(&store, name(part), below(&listing, files, &prefix)).map(Some)
}

/// The prefix of a part in its own archive: the part's folder if all images are below it, or else the top.
fn common_prefix(listing: &Listing, part: &str) -> String {
    let mut images = images(listing);
    let Some(prefix) = images.next().and_then(|image| prefix_of(image, &[part])) else {
        return String::new();
    };
    let start = format!("{prefix}{part}/");
    if images.all(|image| image.starts_with(&start)) {
        start
    } else {
        String::new()
    }
}

/// The images of a listing that are not in folders of tools.
fn images(listing: &Listing) -> impl Iterator<Item = &str> {
    let names = listing.members.iter().map(|member| member.name);
    names.filter(|name| is_image(name) && tool_folder(name).is_none())
}

/// The path before the first folder with one of these names.
fn prefix_of<'a>(path: &'a str, parts: &[&str]) -> Option<&'a str> {
    let mut start = 0;
    for _ in 0..=DEEPEST {
        let length = path[start..].find('/')?;
        if parts.contains(&&path[start..start + length]) {
            return Some(&path[..start]);
        }
        start += length + 1;
    }
    None
}

/// The folder in an archive, with a final `/`, that contains the parts; empty if they are at the top or missing.
pub(super) fn base_in_archive(store: &Store, listing: &Listing) -> Result<String, DataError> {
    let names = PARTS.map(name);
    let prefixes: BTreeSet<&str> = images(listing).filter_map(|image| prefix_of(image, &names)).collect();
    let depth = |prefix: &&&str| prefix.matches('/').count();
    let least = prefixes.iter().map(|prefix| depth(&prefix)).min().unwrap_or(0);
    let mut first = prefixes.iter().filter(|prefix| depth(prefix) == least);
    match (first.next(), first.next()) {
        (Some(one), Some(other)) => Err(ambiguous_error(store.path(), one, other)),
        (one, _) => Ok(one.copied().unwrap_or_default().to_owned()),
    }
}

/// Lists a part below the folder `base` of an archive, if it exists.
pub(super) fn in_archive(
    store: &Arc<Store>,
    listing: &Listing,
    base: &str,
    part: Split,
) -> Result<Option<FoundImages>, DataError> {
    let prefix = format!("{base}{}/", name(part));
    let files = members_below(listing, &prefix);
    if files.is_empty() {
        return Ok(None);
    }
    filter_images(store, name(part), below(listing, files, &prefix)).map(Some)
}

/// The files below `prefix`, which ends in `/`.
fn members_below(listing: &Listing, prefix: &str) -> Members {
    let is_below = |&index: &usize| listing.members.get(index).name.starts_with(prefix);
    listing.members.select((0..listing.members.len()).filter(is_below))
}

/// The content below `prefix`, which is empty or ends in `/`. `files` are the files below it.
fn below(listing: &Listing, files: Members, prefix: &str) -> Contents {
    let rest = |name: &String| {
        name.strip_prefix(prefix)
            .filter(|rest| !rest.is_empty())
            .map(str::to_owned)
    };
    Contents {
        files,
        prefix: prefix.len(),
        folders: listing.folders.iter().filter_map(rest).collect(),
        others: listing.others.iter().filter_map(rest).collect(),
        dangling: listing
            .dangling
            .iter()
            .filter_map(|(name, target)| Some((rest(name)?, target.clone())))
            .collect(),
    }
}

/// The message about a missing part: what was found instead, and what to do.
pub(super) fn missing(part: Split, has_other: bool, top: &[String], folders_with_images: &[String]) -> String {
    let name = name(part);
    let mut problem = format!("has no {name}: expected a folder {name}, or {name}.tar or {name}.zip");
    let others = OTHER_NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(&[][..], |(_, others)| others);
    let same = top
        .iter()
        .find(|found| others.iter().any(|other| other.eq_ignore_ascii_case(found)));
    let cased = top.iter().find(|found| found.eq_ignore_ascii_case(name));
    if let Some(found) = cased.or(same) {
        problem += &format!("; it has {found}: rename it to {name}, or make a link {name} to it");
    } else if !has_other && !folders_with_images.is_empty() {
        let first: Vec<&str> = folders_with_images.iter().take(3).map(String::as_str).collect();
        let more = if folders_with_images.len() > first.len() {
            ", ..."
        } else {
            ""
        };
        problem += &format!(
            "; it has folders with images ({}{more}): if these are the classes, move them into a folder train, pass its parent \
             folder, and test on some of the images with --holdout N",
            first.join(", ")
        );
    } else if !top.is_empty() {
        problem += &format!(
            "; it has {}",
            top.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
        );
    }
    if part == Split::Test && has_other {
        problem += "; --holdout N tests on N training images instead";
    }
    problem
}

/// The names at the top of a folder, and its subfolders that have images.
pub(super) fn top_of_folder(folder: &Path) -> (Vec<String>, Vec<String>) {
    let text = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let with_images = subfolders(folder).into_iter().filter(|folder| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten().take(256);
        files
            .into_iter()
            .any(|file| is_image(&file.file_name().to_string_lossy()))
    });
    let with_images = with_images.take(64).map(|folder| text(&folder)).collect();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_FOLDERS);
    let mut top: Vec<String> = entries
        .map(|entry| text(&entry.path()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    top.sort();
    (top, with_images)
}

/// Like [`top_of_folder`], for the folder `base` of an archive.
pub(super) fn top_of_archive(listing: &Listing, base: &str) -> (Vec<String>, Vec<String>) {
    let first = |name: &str| {
        let rest = name.strip_prefix(base)?;
        Some(rest.split('/').next().unwrap_or(rest).to_owned())
    };
    let top: BTreeSet<String> = listing.members.iter().filter_map(|member| first(member.name)).collect();
    let in_folders = images(listing).filter(|image| image.strip_prefix(base).is_some_and(|rest| rest.contains('/')));
    let with_images: BTreeSet<String> = in_folders.filter_map(first).collect();
    (top.into_iter().collect(), with_images.into_iter().collect())
}

/// The stamp of a file that a tree depends on.
pub(super) fn stamp(path: &Path) -> Result<FileStamp, DataError> {
    FileStamp::from_path(path).map_err(read_error(DataFile::from_path(path)))
}
