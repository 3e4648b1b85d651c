//! Files in a `.zip`, stored or deflated, including archives above 4 GiB (zip64). They are found by the central directory.

use super::links::{Entries, Entry};
use super::{FileRange, Listing, Member, links, read_declared};
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::names::normalized;
use std::io;
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// Each reader has its own clone. Clones share the directory and the file.
pub(super) type Archive = ZipArchive<FileRange>;

/// Limit of the length of a link's target.
const MOST_LINK_BYTES: u64 = 4096;

/// Bits of a Unix mode for the type of a file, and the values of regular files.
const KIND_OF_FILE: u32 = 0o170_000;
const ORDINARY: [u32; 2] = [0, 0o100_000];

pub(super) fn open(path: &Path, range: &FileRange) -> Result<Archive, DataError> {
    let file = DataFile::from_path(path);
    // The directory is in one piece at the end of the file.
    let archive = range.reading_ahead(|| ZipArchive::new(range.clone()));
    let archive = archive.map_err(|error| read_error(file)(error.into()))?;
    if archive.has_duplicate_names() {
        return Err(DataError::DuplicateFile {
            container: path.to_owned(),
            file: "one path".to_owned(),
        });
    }
    Ok(archive)
}

/// Lists every file of the archive. `place` is its index in the directory.
pub(super) fn listing(path: &Path, archive: &Archive) -> Result<Listing, DataError> {
    let error = |error: zip::result::ZipError| read_error(DataFile::from_path(path))(error.into());
    let mut archive = archive.clone();
    let mut entries = Entries::default();
    for place in 0..archive.len() {
        // The directory has all data; the rest of the archive is not read.
        let entry = archive.by_index_data(place).map_err(error)?;
        let name = entry.name().map_err(error)?;
        // Some Windows programs write `\`.
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
            entries.push(name, what);
        }
    }
    links::listing(path, entries)
}

/// Reads a file, unpacks it if necessary, and verifies its checksum.
pub(super) fn read(archive: &Archive, range: &FileRange, member: Member<'_>) -> io::Result<Vec<u8>> {
    let mut archive = archive.clone();
    let place = usize::try_from(member.place).map_err(io::Error::other)?;
    let entry = archive.by_index(place)?;
    let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
    match entry.data_start() {
        Some(start) if stored => {
            let bytes = range.read_part(start, member.bytes)?;
            if crc32fast::hash(&bytes) != entry.crc32() {
                return Err(io::Error::other("is damaged: its CRC-32 does not match"));
            }
            Ok(bytes)
        }
        _ => read_declared(entry, member.bytes),
    }
}
