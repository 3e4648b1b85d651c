//! Files in a `.zip`, stored or deflated, also beyond 4 GiB (zip64), found by its central directory.

use super::links::Entry;
use super::{FileRange, Listing, Member, links, read_declared};
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::names::normalized;
use std::io;
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// Clones share the directory and the file, so each reader has its own.
pub(super) type Archive = ZipArchive<FileRange>;

/// No link is longer.
const MOST_LINK_BYTES: u64 = 4096;

/// What a mode of Unix says of the kind of a file, and two kinds.
const KIND_OF_FILE: u32 = 0o170_000;
const ORDINARY: [u32; 2] = [0, 0o100_000];

pub(super) fn open(path: &Path, range: FileRange) -> Result<Archive, DataError> {
    let file = DataFile::from_path(path);
    let archive = ZipArchive::new(range).map_err(|error| read_error(file)(error.into()))?;
    if archive.has_duplicate_names() {
        return Err(DataError::DuplicateFile {
            container: path.to_owned(),
            file: "one path".to_owned(),
        });
    }
    Ok(archive)
}

/// Every file of the archive; `place` is its number in the directory.
pub(super) fn listing(path: &Path, archive: &Archive) -> Result<Listing, DataError> {
    let error = |error: zip::result::ZipError| read_error(DataFile::from_path(path))(error.into());
    let mut archive = archive.clone();
    let mut entries = Vec::with_capacity(archive.len());
    for place in 0..archive.len() {
        // What the directory says is enough: the archive itself is not touched.
        let entry = archive.by_index_data(place).map_err(error)?;
        let name = entry.name().map_err(error)?;
        // Windows programs have written `\`.
        let is_folder = entry.is_dir() || name.ends_with(['/', '\\']);
        let (name, bytes) = (normalized(&name), entry.size());
        let (is_link, mode) = (entry.is_symlink(), entry.unix_mode().unwrap_or_default());
        let what = if is_folder {
            Entry::Folder
        } else if is_link && bytes <= MOST_LINK_BYTES {
            let target = read_declared(archive.by_index(place).map_err(error)?, bytes);
            let target = target.map_err(read_error(DataFile::from_archive_member(path, &name)))?;
            Entry::Symbolic(String::from_utf8_lossy(&target).into_owned())
        } else if ORDINARY.contains(&(mode & KIND_OF_FILE)) {
            let place = place as u64;
            Entry::File { bytes, place }
        } else {
            Entry::Other
        };
        if !name.is_empty() {
            entries.push((name, what));
        }
    }
    links::listing(path, entries)
}

/// The file's bytes, unpacked if they are packed; the archive's sum of them is checked.
pub(super) fn read(archive: &Archive, range: &FileRange, member: &Member) -> io::Result<Vec<u8>> {
    let mut archive = archive.clone();
    let place = usize::try_from(member.place).map_err(io::Error::other)?;
    let entry = archive.by_index(place)?;
    let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
    match entry.data_start() {
        Some(start) if stored => {
            let bytes = range.read_part(start, member.bytes)?;
            if crc32fast::hash(&bytes) != entry.crc32() {
                return Err(io::Error::other("is damaged: its CRC-32 is not the one written down"));
            }
            Ok(bytes)
        }
        _ => read_declared(entry, member.bytes),
    }
}
