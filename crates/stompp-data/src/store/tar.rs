//! Files in a `.tar`, found by one walk over its headers. A `.tar` in a `.tar` is a folder: so ImageNet's training set comes.

use super::{Mapped, Member};
use crate::DataError;
use crate::error::{DataFile, read_error};
use std::io::Cursor;
use std::path::Path;

/// Every file of the archive; `place` is where its bytes begin.
pub(super) fn members(path: &Path, map: &Mapped) -> Result<Vec<Member>, DataError> {
    let mut members = Vec::new();
    collect(path, map, "", 0, &mut members)?;
    let mut all = Vec::with_capacity(members.len());
    for member in members {
        match member.name.strip_suffix(".tar") {
            Some(folder) => {
                let inner = map
                    .part(member.place, member.bytes)
                    .map_err(read_error(DataFile::inside(path, &member.name)))?;
                collect(path, inner, &format!("{folder}/"), member.place, &mut all)?;
            }
            None => all.push(member),
        }
    }
    Ok(all)
}

/// Adds the files of the archive `tar`, which begins at `offset` of the file.
fn collect(path: &Path, tar: &[u8], prefix: &str, offset: u64, members: &mut Vec<Member>) -> Result<(), DataError> {
    let archive = || match prefix {
        "" => DataFile::on_disk(path),
        folder => DataFile::inside(path, format!("{}.tar", folder.trim_end_matches('/'))),
    };
    let mut tar = tar::Archive::new(Cursor::new(tar));
    for entry in tar.entries_with_seek().map_err(read_error(archive()))? {
        let entry = entry.map_err(read_error(archive()))?;
        let name = entry.path_bytes();
        let kind = entry.header().entry_type();
        // Sparse files, links and devices are not images.
        if kind.is_file() {
            let name = str::from_utf8(&name).map_err(|_| DataError::Tree {
                path: path.to_owned(),
                problem: format!(
                    "a member is called {:?}, expected UTF-8",
                    String::from_utf8_lossy(&name)
                ),
            })?;
            members.push(Member {
                name: format!("{prefix}{}", name.trim_start_matches("./")),
                bytes: entry.size(),
                place: offset + entry.raw_file_position(),
            });
        }
    }
    Ok(())
}
