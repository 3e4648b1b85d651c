//! Files in a `.tar`, found by its headers. A `.tar` in a `.tar` counts as a folder, because ImageNet's training set has this form.

use super::headers::Headers;
use super::links::{Entries, Entry};
use super::{FileRange, Listing, Member, links, with_many_requests};
use crate::DataError;
use crate::error::{DataFile, read_error};
use crate::names::normalized;
use rayon::prelude::*;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use tar::EntryType;

/// Headers and file contents begin at multiples of this.
const BLOCK: usize = 512;

/// Lists every file of the archive. `place` is the offset of its bytes.
pub(super) fn listing(path: &Path, range: &FileRange) -> Result<Listing, DataError> {
    let mut outer = Reader::new(path, "", 0);
    outer.read(range)?;
    let mut faults = outer.faults;
    let mut entries = outer.entries;
    for (name, entry) in &mut entries.others {
        if let (Some(folder), Entry::Symbolic(target) | Entry::Hard(target)) = (without_tar(name), entry) {
            *name = folder.to_owned();
            *target = without_tar(target).unwrap_or(target).to_owned();
        }
    }
    let is_tar = |file: &Member<'_>| without_tar(file.name).is_some();
    let tars = entries
        .files
        .select((0..entries.files.len()).filter(|&file| is_tar(&entries.files.get(file))));
    if !tars.is_empty() {
        entries.files.retain(|file| !is_tar(&file));
        let inner = with_many_requests(|| -> Vec<_> {
            let files = (0..tars.len()).into_par_iter();
            files.map(|file| read_inner(path, range, tars.get(file))).collect()
        })?;
        for (inner, Member { name, .. }) in inner.into_iter().zip(tars.iter()) {
            let (inner, mut inner_faults) = inner?;
            faults.append(&mut inner_faults);
            entries.files.append(&inner.files);
            entries.others.extend(inner.others);
            entries
                .others
                .push((without_tar(name).unwrap_or(name).to_owned(), Entry::Folder));
        }
    }
    let mut listing = links::listing(path, entries)?;
    listing.faults = faults;
    Ok(listing)
}

/// Lists the archive `tar` inside of another, and its faults.
fn read_inner(path: &Path, range: &FileRange, tar: Member<'_>) -> Result<(Entries, Vec<String>), DataError> {
    let Member { name, bytes, place } = tar;
    let prefix = format!("{}/", without_tar(name).unwrap_or(name));
    let mut reader = Reader::new(path, &prefix, place);
    // If the inner archive is cut off, the outer reader has already reported it.
    reader.read(&range.slice(place, place.saturating_add(bytes)))?;
    Ok((reader.entries, reader.faults))
}

/// The name of the folder that the archive `name` counts as.
fn without_tar(name: &str) -> Option<&str> {
    name.strip_suffix(".tar")
}

/// Reads one archive, which may be part of another.
struct Reader<'a> {
    path: &'a Path,
    /// Prefix of its members' names.
    prefix: &'a str,
    /// Its offset in the file.
    offset: u64,
    entries: Entries,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, prefix: &'a str, offset: u64) -> Self {
        Self {
            path,
            prefix,
            offset,
            entries: Entries::default(),
            faults: Vec::new(),
        }
    }

    fn read(&mut self, tar: &FileRange) -> Result<(), DataError> {
        let mut archive = tar::Archive::new(Headers::new(tar.clone()));
        let file = || DataFile::from_path(self.path);
        // The expected offset of the next header.
        let mut end = 0;
        for entry in archive.entries_with_seek().map_err(read_error(file()))? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    return self.fault(tar, end, &format!("is damaged at byte {}: {error}", self.offset + end));
                }
            };
            let kind = entry.header().entry_type();
            let size = if kind.is_gnu_sparse() {
                entry.header().entry_size().unwrap_or_default()
            } else {
                entry.size()
            };
            let start = entry.raw_file_position();
            end = start
                .saturating_add(size)
                .div_ceil(BLOCK as u64)
                .saturating_mul(BLOCK as u64);
            if start.saturating_add(size) > tar.len() {
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                self.fault(tar, end, &format!("is cut off inside {name}"))?;
                return self.add(&entry, kind, size);
            }
            self.add(&entry, kind, size)?;
        }
        self.check_end(tar, end)
    }

    fn add(&mut self, entry: &tar::Entry<'_, Headers>, kind: EntryType, bytes: u64) -> Result<(), DataError> {
        let path_bytes = entry.path_bytes();
        let text = |bytes: &[u8]| {
            str::from_utf8(bytes).map(str::to_owned).map_err(|_| DataError::Tree {
                path: self.path.to_owned(),
                problem: format!(
                    "the name of a member is {:?}, expected UTF-8",
                    String::from_utf8_lossy(bytes)
                ),
            })
        };
        let name = text(&path_bytes)?;
        // Old archives have no type for folders; their names end in `/`.
        let is_folder = kind.is_dir() || (kind.is_file() && name.ends_with('/'));
        let target = || text(&entry.link_name_bytes().unwrap_or_default());
        let entry = match kind {
            _ if is_folder => Entry::Folder,
            EntryType::Regular | EntryType::Continuous if !self.is_sparse(entry) => Entry::File {
                bytes,
                place: self.offset + entry.raw_file_position(),
            },
            EntryType::Link => Entry::Hard(format!("{}{}", self.prefix, normalized(&target()?))),
            EntryType::Symlink => Entry::Symbolic(target()?),
            // Comments, not members.
            EntryType::XGlobalHeader => return Ok(()),
            _ => Entry::Other,
        };
        let name = normalized(&name);
        if !name.is_empty() {
            self.entries.push(format!("{}{name}", self.prefix), entry);
        }
        Ok(())
    }

    /// Whether a regular file is a sparse file in GNU's PAX format, so stored in pieces.
    fn is_sparse(&self, entry: &tar::Entry<'_, Headers>) -> bool {
        entry
            .path_bytes()
            .windows(16)
            .any(|part| part.starts_with(b"GNUSparseFile."))
    }

    /// Checks that the last member is followed, at `end`, by the end marker: a block of zeros, with only zeros after it.
    fn check_end(&mut self, tar: &FileRange, end: u64) -> Result<(), DataError> {
        let rest = tar.slice(end, tar.len());
        if rest.len() < BLOCK as u64 {
            return self.fault(tar, end, "has no end marker: it is cut off");
        }
        match first_data(rest).map_err(read_error(DataFile::from_path(self.path)))? {
            Some(at) => {
                let at = self.offset + end + at;
                self.fault(tar, end, &format!("has data at byte {at}, after its end marker"))
            }
            None => Ok(()),
        }
    }

    /// Records that members may be missing from `end` on.
    fn fault(&mut self, tar: &FileRange, end: u64, problem: &str) -> Result<(), DataError> {
        let found = self.entries.files.len();
        let lost = headers_of_files(tar.slice(end, tar.len()));
        let lost = lost.map_err(read_error(DataFile::from_path(self.path)))?;
        let what = match self.prefix {
            "" => String::new(),
            folder => format!("contains {}.tar, which ", folder.trim_end_matches('/')),
        };
        let lost = match lost {
            0 => "more may be missing".to_owned(),
            lost => format!("at least {lost} after it are lost"),
        };
        self.faults
            .push(format!("{what}{problem}; {found} files before that were found, {lost}"));
        Ok(())
    }
}

/// Bytes searched at a time.
const CHUNK: usize = 1 << 16;

/// The offset in `range` of the first byte that is not zero; `None` if all are zero.
fn first_data(range: FileRange) -> io::Result<Option<u64>> {
    let mut reader = BufReader::with_capacity(CHUNK, range);
    let mut before = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(None);
        }
        if let Some(at) = chunk.iter().position(|&byte| byte != 0) {
            return Ok(Some(before + at as u64));
        }
        let bytes = chunk.len();
        before += bytes as u64;
        reader.consume(bytes);
    }
}

/// Counts the blocks of `range` that are headers of files.
fn headers_of_files(range: FileRange) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(CHUNK, range);
    let mut block = [0; BLOCK];
    let mut count = 0;
    loop {
        match reader.read_exact(&mut block) {
            Ok(()) => count += usize::from(is_header_of_file(&block)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(count),
            Err(error) => return Err(error),
        }
    }
}

/// Whether a block is the header of a file, checked by its checksum.
fn is_header_of_file(block: &[u8]) -> bool {
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block[..148]
        .iter()
        .chain(&block[156..])
        .map(|&byte| u32::from(byte))
        .sum::<u32>()
        + 8 * 32;
    header.cksum().is_ok_and(|declared| declared == sum) && header.entry_type().is_file()
}
