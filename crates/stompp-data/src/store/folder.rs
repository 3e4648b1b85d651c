//! Files in a folder and its subfolders.

use super::{Member, Stamp, modified, read_declared};
use crate::DataError;
use crate::error::{DataFile, read_error};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Deeper folders are refused: links that go round in circles end here.
const DEEPEST: usize = 16;

/// Every file below `root`, and the stamp of every folder: files come and go with a folder's time. Links are followed.
pub(super) fn members(root: &Path) -> Result<(Vec<Member>, Vec<Stamp>), DataError> {
    let mut found = (Vec::new(), Vec::new());
    walk(root, "", 0, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut (Vec<Member>, Vec<Stamp>)) -> Result<(), DataError> {
    let here = || DataFile::on_disk(folder);
    if depth > DEEPEST {
        return Err(DataError::Tree {
            path: folder.to_owned(),
            problem: format!("more than {DEEPEST} folders deep"),
        });
    }
    found.1.push(Stamp::of(folder).map_err(read_error(here()))?);
    for entry in fs::read_dir(folder).map_err(read_error(here()))? {
        let path = entry.map_err(read_error(here()))?.path();
        let file = || DataFile::on_disk(&path);
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(DataError::Tree {
                path: path.clone(),
                problem: "expected a name in UTF-8".to_owned(),
            });
        };
        let name = format!("{prefix}{name}");
        let metadata = fs::metadata(&path).map_err(read_error(file()))?;
        if metadata.is_dir() {
            walk(&path, &format!("{name}/"), depth + 1, found)?;
        } else if metadata.is_file() {
            found.0.push(Member {
                name,
                bytes: metadata.len(),
                place: modified(&metadata).map_err(read_error(file()))?,
            });
        }
    }
    Ok(())
}

/// The file's bytes, if it is the file that was listed.
pub(super) fn read(path: &Path, member: &Member) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if modified(&metadata)? != member.place || metadata.len() != member.bytes {
        return Err(io::Error::other("has changed since the index was made"));
    }
    read_declared(file, member.bytes)
}
