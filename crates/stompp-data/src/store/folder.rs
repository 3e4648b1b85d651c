//! Files in a folder and its subfolders.

use super::{BROKEN, FileStamp, Listing, MOST_BYTES, Member, changed, modified, read_declared};
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::names::is_tool_folder;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Deeper folders are refused.
const DEEPEST: usize = 16;

/// Lists every file below `root`, and the stamp of every folder: adding or removing a file changes a folder's time. Links are followed.
/// Folders of tools are listed, but not their content.
pub(super) fn listing(root: &Path) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    let real = fs::canonicalize(root).map_err(read_error(DataFile::from_path(root)))?;
    visit(root, "", &mut vec![real], &mut listing)?;
    Ok(listing)
}

/// Adds the content of `folder`. `open` are the real paths of this folder and its ancestors.
fn visit(folder: &Path, prefix: &str, open: &mut Vec<PathBuf>, listing: &mut Listing) -> Result<(), DataError> {
    let here = || DataFile::from_path(folder);
    let refused = |path: &Path, problem: String| DataError::Tree {
        path: path.to_owned(),
        problem,
    };
    if open.len() > DEEPEST + 1 {
        return Err(refused(folder, format!("more than {DEEPEST} folders deep")));
    }
    listing
        .stamps
        .push(FileStamp::from_path(folder).map_err(read_error(here()))?);
    for entry in fs::read_dir(folder).map_err(read_error(here()))? {
        let entry = entry.map_err(read_error(here()))?;
        let path = entry.path();
        let file = || DataFile::from_path(&path);
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(refused(&path, "expected a name in UTF-8".to_owned()));
        };
        let full = format!("{prefix}{name}");
        let is_link = entry.file_type().map_err(read_error(file()))?.is_symlink();
        let metadata = match fs::metadata(&path) {
            Err(_) if is_link => {
                let target = fs::read_link(&path).map_err(read_error(file()))?;
                listing.members.push_named(&[&full], 0, BROKEN);
                listing.dangling.insert(full, target.display().to_string());
                continue;
            }
            metadata => metadata.map_err(read_error(file()))?,
        };
        if metadata.is_dir() {
            listing.folders.insert(full.clone());
            if is_tool_folder(name) {
                continue;
            }
            let real = if is_link {
                fs::canonicalize(&path).map_err(read_error(file()))?
            } else {
                open.last().expect("the root").join(name)
            };
            if is_link && open.iter().any(|above| above.starts_with(&real)) {
                let problem = "is a link to a folder that contains it, or that leads back to it";
                return Err(refused(&path, problem.to_owned()));
            }
            open.push(real);
            visit(&path, &format!("{full}/"), open, listing)?;
            open.pop();
        } else if metadata.is_file() {
            let place = modified(&metadata).map_err(read_error(file()))?;
            listing.members.push_named(&[&full], metadata.len(), place);
        } else {
            listing.others.push(full);
        }
    }
    Ok(())
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
