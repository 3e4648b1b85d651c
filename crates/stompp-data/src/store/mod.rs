//! Access to image files in a folder, a `.tar` or a `.zip`. Any thread can read any member at any time.
//!
//! Archives are not unpacked: an index locates their members, which are read in place. **Sizes are checked before memory is
//! allocated**, and checksums in archives are verified. The first bytes of an archive determine its kind.

mod file_range;
mod folder;
mod headers;
mod links;
mod members;
mod parallel;
mod tar;
mod zip;

pub(crate) use file_range::FileRange;
pub(crate) use members::{Member, Members};
pub(crate) use parallel::with_many_requests;

use crate::DataError;
use crate::error::{DataFile, read_error};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Limit of the size of an image file. A larger file is not read.
pub(crate) const MOST_BYTES: u64 = 256 << 20;

/// The place of a member that is a broken link.
pub(crate) const BROKEN: u64 = u64::MAX;

/// An open folder or archive with files.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
    kind: StoreKind,
}

#[derive(Clone, Debug)]
enum StoreKind {
    Folder,
    Tar(FileRange),
    Zip(zip::Archive, FileRange),
}

/// The content of a store.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Every file, sorted by name. The target of a link is listed under the link's name.
    pub(crate) members: Members,
    /// Every folder that the store lists, including empty ones.
    pub(crate) folders: BTreeSet<String>,
    /// Entries that are neither files, folders nor links.
    pub(crate) others: Vec<String>,
    /// Broken links and their targets.
    pub(crate) dangling: BTreeMap<String, String>,
    /// Damage in the store, because of which files may be missing.
    pub(crate) faults: Vec<String>,
    /// Stamps that show whether the listing is still valid.
    pub(crate) stamps: Vec<FileStamp>,
}

impl Listing {
    /// Adds the content of a subfolder.
    fn append(&mut self, mut below: Self) {
        self.members.append(&below.members);
        self.folders.append(&mut below.folders);
        self.others.append(&mut below.others);
        self.dangling.append(&mut below.dangling);
        self.faults.append(&mut below.faults);
        self.stamps.append(&mut below.stamps);
    }
}

/// A file's bytes.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// Whether the file has changed since it was listed.
    pub(crate) changed: bool,
}

/// Data to detect that a file or folder has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    path: PathBuf,
    bytes: u64,
    modified: u64,
}

impl FileStamp {
    pub(crate) fn from_path(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            // The size of a folder has no meaning.
            bytes: if metadata.is_dir() { 0 } else { metadata.len() },
            modified: modified(&metadata)?,
        })
    }

    /// Whether the file is unchanged.
    pub(crate) fn is_unchanged(&self) -> bool {
        Self::from_path(&self.path).is_ok_and(|now| now == *self)
    }
}

/// The time of a file's last change, in nanoseconds since 1970; 0 if earlier.
fn modified(metadata: &fs::Metadata) -> io::Result<u64> {
    let since = metadata.modified()?.duration_since(std::time::UNIX_EPOCH);
    Ok(since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

/// Formats of compressed files: first bytes, name, and the command that unpacks a file to standard output.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (&[0x1f, 0x8b], "gzip", "gunzip -c"),
    (b"BZh", "bzip2", "bunzip2 -c"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "unxz -c"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "unzstd -c"),
];

/// Unsupported archive formats: first bytes and name.
const OTHER_ARCHIVES: [(&[u8], &str); 3] = [
    (&[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"STOMPACK", "a pack of an earlier version of this program"),
];

/// The place of the magic bytes of a tar.
const TAR_MARK: std::ops::Range<usize> = 257..262;

impl Store {
    /// Opens `path`: a folder, or an archive whose kind is detected by its first bytes, or else by its name.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file = || DataFile::from_path(path);
        let metadata = fs::metadata(path).map_err(read_error(file()))?;
        let kind = if metadata.is_dir() {
            StoreKind::Folder
        } else {
            let range = FileRange::open(path).map_err(read_error(file()))?;
            let first = range.read_part(0, range.len().min(TAR_MARK.end as u64));
            let first = first.map_err(read_error(file()))?;
            let is_tar = first.get(TAR_MARK) == Some(b"ustar");
            match extension(path).as_str() {
                _ if is_tar => StoreKind::Tar(range),
                _ if first.starts_with(b"PK") => StoreKind::Zip(zip::open(path, &range)?, range),
                _ if unsupported_format(&first).is_some() => return Err(unreadable(path, &first)),
                "tar" => StoreKind::Tar(range),
                "zip" => StoreKind::Zip(zip::open(path, &range)?, range),
                _ => return Err(unreadable(path, &first)),
            }
        };
        Ok(Self {
            path: path.to_owned(),
            kind,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the content of the store.
    ///
    /// # Errors
    /// Returns an error if the folder or archive cannot be read, contains a name twice, or has cyclic links.
    pub(crate) fn listing(&self) -> Result<Listing, DataError> {
        let mut listing = match &self.kind {
            StoreKind::Folder => folder::listing(&self.path)?,
            StoreKind::Tar(range) => tar::listing(&self.path, range)?,
            StoreKind::Zip(archive, _) => zip::listing(&self.path, archive)?,
        };
        if !matches!(self.kind, StoreKind::Folder) {
            let stamp = FileStamp::from_path(&self.path).map_err(read_error(DataFile::from_path(&self.path)))?;
            listing.stamps.push(stamp);
        }
        listing.members = listing.members.sorted();
        if let Some(twice) = listing.members.duplicate() {
            return Err(DataError::DuplicateFile {
                container: self.path.clone(),
                file: twice.to_owned(),
            });
        }
        Ok(listing)
    }

    /// The file's name for messages.
    pub(crate) fn file(&self, member: Member<'_>) -> DataFile {
        match self.kind {
            StoreKind::Folder => DataFile::from_path(self.path.join(member.name)),
            _ => DataFile::from_archive_member(&self.path, member.name),
        }
    }

    /// Whether the store is a folder. Only there does a different `place` of a member mean that its file has changed.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.kind, StoreKind::Folder)
    }

    /// Reads a file.
    pub(crate) fn read(&self, member: Member<'_>) -> Result<Content, DataError> {
        if member.bytes > MOST_BYTES {
            return Err(DataError::TooLarge {
                file: self.file(member),
                bytes: member.bytes,
                limit: MOST_BYTES,
            });
        }
        let unchanged = |bytes| (bytes, false);
        let read = match &self.kind {
            StoreKind::Folder => folder::read(&self.path.join(member.name), member),
            _ if member.place == BROKEN => Err(io::Error::other("is a link to a file that the archive does not have")),
            StoreKind::Tar(range) => range.read_part(member.place, member.bytes).map(unchanged),
            StoreKind::Zip(archive, range) => zip::read(archive, range, member).map(unchanged),
        };
        let (bytes, changed) = read.map_err(read_error(self.file(member)))?;
        Ok(Content { bytes, changed })
    }
}

/// The name of an unsupported format, detected by the first bytes, and the command that unpacks it.
fn unsupported_format(bytes: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    let compressed = COMPRESSED.iter().find(|(mark, ..)| bytes.starts_with(mark));
    let other = || OTHER_ARCHIVES.iter().find(|(mark, _)| bytes.starts_with(mark));
    compressed
        .map(|&(_, name, command)| (name, Some(command)))
        .or_else(|| other().map(|&(_, name)| (name, None)))
}

/// The error for a file that cannot be read as an archive. It says what to do.
fn unreadable(path: &Path, bytes: &[u8]) -> DataError {
    let problem = match unsupported_format(bytes) {
        Some((kind, Some(command))) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = name.split('.').next().unwrap_or("images");
            let target = if *name == *format!("{stem}.tar") {
                "unpacked"
            } else {
                stem
            };
            format!(
                "is compressed with {kind}, which allows no random access; unpack it: `{command} {name} > {target}.tar`"
            )
        }
        Some((kind, None)) => format!("is {kind}, expected a folder, a .tar or a .zip of images"),
        None => "expected a folder, a .tar or a .zip of images".to_owned(),
    };
    DataError::Tree {
        path: path.to_owned(),
        problem,
    }
}

/// The extension of a file's name, in lower case.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Reads all of `input`, whose declared size is `bytes`. Memory grows only with the bytes actually read.
fn read_declared(input: impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    input.take(bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 == bytes {
        Ok(content)
    } else {
        Err(changed(content.len() as u64, bytes))
    }
}

fn changed(found: u64, expected: u64) -> io::Error {
    let more = if found > expected { "at least " } else { "" };
    io::Error::other(format!("is {more}{found} bytes large, {expected} were declared"))
}
