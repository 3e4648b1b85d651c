//! Files in a folder and its subfolders.

use super::{BROKEN, FileStamp, Listing, MOST_BYTES, Member, changed, modified, read_declared, with_many_requests};
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::names::is_tool_folder;
use rayon::prelude::*;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};

/// Deeper folders are refused.
const DEEPEST: usize = 16;

/// Subfolders that are listed at a time, and then added to the list.
const FOLDERS_AT_A_TIME: usize = 64;

/// Lists every file below `root`, and the stamp of every folder: adding or removing a file changes a folder's time. Links are followed.
/// Folders of tools are listed, but not their content.
///
/// The size and time of each file are a request to the disk or network. Many are made at a time.
pub(super) fn listing(root: &Path) -> Result<Listing, DataError> {
    let real = fs::canonicalize(root).map_err(read_error(DataFile::from_path(root)))?;
    with_many_requests(|| visit(root, "", &[real]))?
}

/// An entry of a folder.
struct Entry {
    name: String,
    kind: EntryKind,
}

enum EntryKind {
    File {
        bytes: u64,
        modified: u64,
    },
    Folder {
        is_link: bool,
    },
    /// A broken link, and its target.
    Broken(String),
    Other,
}

impl Entry {
    /// Reads an entry from the disk.
    fn read(entry: &DirEntry) -> Result<Self, DataError> {
        let path = entry.path();
        let file = || DataFile::from_path(&path);
        let Ok(name) = entry.file_name().into_string() else {
            return Err(refused(&path, "expected a name in UTF-8".to_owned()));
        };
        let kind = entry.file_type().map_err(read_error(file()))?;
        let is_link = kind.is_symlink();
        if kind.is_dir() {
            let kind = EntryKind::Folder { is_link };
            return Ok(Self { name, kind });
        }
        let kind = match fs::metadata(&path) {
            Err(_) if is_link => {
                let target = fs::read_link(&path).map_err(read_error(file()))?;
                EntryKind::Broken(target.display().to_string())
            }
            Err(error) => return Err(read_error(file())(error)),
            Ok(metadata) if metadata.is_dir() => EntryKind::Folder { is_link },
            Ok(metadata) if metadata.is_file() => EntryKind::File {
                bytes: metadata.len(),
                modified: modified(&metadata).map_err(read_error(file()))?,
            },
            Ok(_) => EntryKind::Other,
        };
        Ok(Self { name, kind })
    }

    /// The bytes by which entries are sorted, so that all paths below them are sorted too.
    fn key(&self) -> impl Iterator<Item = u8> {
        let slash = matches!(self.kind, EntryKind::Folder { .. }).then_some(b'/');
        self.name.bytes().chain(slash)
    }
}

fn refused(path: &Path, problem: String) -> DataError {
    DataError::Tree {
        path: path.to_owned(),
        problem,
    }
}

/// Lists the content of `folder`, whose names begin with `prefix`. `open` are the real paths of this folder and its ancestors.
fn visit(folder: &Path, prefix: &str, open: &[PathBuf]) -> Result<Listing, DataError> {
    let here = || DataFile::from_path(folder);
    if open.len() > DEEPEST + 1 {
        return Err(refused(folder, format!("more than {DEEPEST} folders deep")));
    }
    let mut listing = Listing::default();
    let stamp = FileStamp::from_path(folder).map_err(read_error(here()))?;
    listing.stamps.push(stamp);
    let entries: io::Result<Vec<DirEntry>> = fs::read_dir(folder).and_then(Iterator::collect);
    let entries = entries.map_err(read_error(here()))?;
    let entries: Vec<_> = entries.par_iter().map(Entry::read).collect();
    let mut entries: Vec<Entry> = entries.into_iter().collect::<Result<_, _>>()?;
    entries.sort_by(|a, b| a.key().cmp(b.key()));

    let subfolders: Vec<(&str, bool)> = entries
        .iter()
        .filter_map(|entry| match entry.kind {
            EntryKind::Folder { is_link } if !is_tool_folder(&entry.name) => Some((&*entry.name, is_link)),
            _ => None,
        })
        .collect();
    let mut contents = subfolders.chunks(FOLDERS_AT_A_TIME).flat_map(|some| {
        let visited: Vec<_> = some
            .par_iter()
            .map(|&(name, is_link)| visit_subfolder(folder, prefix, name, is_link, open))
            .collect();
        visited
    });
    for Entry { name, kind } in &entries {
        let full = format!("{prefix}{name}");
        match kind {
            EntryKind::File { bytes, modified } => listing.members.push_named(&[&full], *bytes, *modified),
            EntryKind::Folder { .. } => {
                listing.folders.insert(full);
                if !is_tool_folder(name) {
                    listing.append(contents.next().expect("one for each subfolder")?);
                }
            }
            EntryKind::Broken(target) => {
                listing.members.push_named(&[&full], 0, BROKEN);
                listing.dangling.insert(full, target.clone());
            }
            EntryKind::Other => listing.others.push(full),
        }
    }
    Ok(listing)
}

/// Lists the content of the subfolder `name` of `folder`.
fn visit_subfolder(
    folder: &Path,
    prefix: &str,
    name: &str,
    is_link: bool,
    open: &[PathBuf],
) -> Result<Listing, DataError> {
    let path = folder.join(name);
    let real = if is_link {
        fs::canonicalize(&path).map_err(read_error(DataFile::from_path(&path)))?
    } else {
        open.last().expect("the root").join(name)
    };
    if is_link && open.iter().any(|above| above.starts_with(&real)) {
        let problem = "is a link to a folder that contains it, or that leads back to it";
        return Err(refused(&path, problem.to_owned()));
    }
    let open = [open, &[real]].concat();
    visit(&path, &format!("{prefix}{name}/"), &open)
}

/// Reads a file. Also returns whether it has changed since it was listed.
pub(super) fn read(path: &Path, member: Member<'_>) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path).map_err(|error| match fs::read_link(path) {
        Ok(target) => io::Error::new(error.kind(), format!("is a link to {}: {error}", target.display())),
        Err(_) => error,
    })?;
    let metadata = file.metadata()?;
    let bytes = metadata.len();
    if bytes > MOST_BYTES {
        return Err(changed(bytes, MOST_BYTES));
    }
    let other = modified(&metadata)? != member.place || bytes != member.bytes;
    Ok((read_declared(file, bytes)?, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_folders_are_listed_in_the_order_of_the_paths() {
        let root = tempfile::tempdir().unwrap();
        let mut names: Vec<String> = (0..3 * FOLDERS_AT_A_TIME)
            .flat_map(|folder| {
                [
                    format!("n{folder}/a"),
                    format!("n{folder}-"),
                    format!("n{folder}/b/{folder}"),
                ]
            })
            .collect();
        for name in &names {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        names.sort();
        let found = listing(root.path()).unwrap();
        let listed: Vec<&str> = found.members.iter().map(|member| member.name).collect();
        assert_eq!(listed, names);
        assert!(
            found
                .members
                .iter()
                .all(|member| member.bytes == member.name.len() as u64)
        );
        assert_eq!(found.stamps.len(), 1 + 6 * FOLDERS_AT_A_TIME);
        assert_eq!(found.folders.len(), 6 * FOLDERS_AT_A_TIME);
    }
}
