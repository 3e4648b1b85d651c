//! Files in a `.zip`, stored or deflated, also beyond 4 GiB (zip64), found by its central directory.

use super::{Mapped, Member, read_declared};
use crate::DataError;
use crate::error::{DataFile, read_error};
use std::io::{self, Cursor};
use std::path::Path;
use zip::ZipArchive;

/// Clones share the directory and the mapping, so each reader has its own.
pub(super) type Archive = ZipArchive<Cursor<Mapped>>;

pub(super) fn open(path: &Path, map: Mapped) -> Result<Archive, DataError> {
    let file = DataFile::on_disk(path);
    let archive = ZipArchive::new(Cursor::new(map)).map_err(|error| read_error(file)(error.into()))?;
    if archive.has_duplicate_names() {
        return Err(DataError::DuplicateFile {
            container: path.to_owned(),
            file: "one path".to_owned(),
        });
    }
    Ok(archive)
}

/// Every file of the archive; `place` is its number in the directory.
pub(super) fn members(path: &Path, archive: &Archive) -> Result<Vec<Member>, DataError> {
    let error = |error: zip::result::ZipError| read_error(DataFile::on_disk(path))(error.into());
    let mut archive = archive.clone();
    let mut members = Vec::new();
    for place in 0..archive.len() {
        let entry = archive.by_index_raw(place).map_err(error)?;
        if entry.is_file() {
            members.push(Member {
                name: entry.name().map_err(error)?.trim_start_matches("./").to_owned(),
                bytes: entry.size(),
                place: place as u64,
            });
        }
    }
    Ok(members)
}

/// The file's bytes, unpacked; the archive's sum of them is checked at their end.
pub(super) fn read(archive: &Archive, member: &Member) -> io::Result<Vec<u8>> {
    let mut archive = archive.clone();
    let place = usize::try_from(member.place).map_err(io::Error::other)?;
    read_declared(archive.by_index(place)?, member.bytes)
}
