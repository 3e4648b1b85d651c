//! Where image files are: a folder, a `.tar`, a `.zip` or a pack; any of their members can be read by any thread at any time.
//!
//! Archives are mapped into memory, not unpacked, and found through an index of their members. **Sizes are checked before
//! memory is taken**, and what an archive has a sum for is compared with it.

mod folder;
mod mapped;
pub(crate) mod pack;
mod tar;
mod zip;

pub(crate) use mapped::Mapped;

use crate::DataError;
use crate::error::{DataFile, read_error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No image file is this large; one that says so is not read.
pub(crate) const MOST_BYTES: u64 = 256 << 20;

/// A place with files in it, opened.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Folder,
    Tar(Mapped),
    Zip(zip::Archive),
    Pack(pack::Pack),
}

/// One file of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Path inside the store, with `/` between its parts.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// Where its store finds it. In a folder: when it was last written, in nanoseconds since 1970, so that a change shows.
    pub(crate) place: u64,
}

/// What tells whether a file or folder has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: u64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            // The size of a folder means nothing.
            bytes: if metadata.is_dir() { 0 } else { metadata.len() },
            modified: modified(&metadata)?,
        })
    }

    /// Whether the file is as it was.
    pub(crate) fn holds(&self) -> bool {
        Self::of(&self.path).is_ok_and(|now| now == *self)
    }
}

/// Nanoseconds from 1970 to when the file was written; 0 before.
fn modified(metadata: &fs::Metadata) -> io::Result<u64> {
    let since = metadata.modified()?.duration_since(std::time::UNIX_EPOCH);
    Ok(since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

impl Store {
    /// Opens `path`: a folder, or an archive of the kind that its name tells.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file = || DataFile::on_disk(path);
        let metadata = fs::metadata(path).map_err(read_error(file()))?;
        let mapped = || Mapped::open(path).map_err(read_error(file()));
        let kind = if metadata.is_dir() {
            Kind::Folder
        } else {
            match ending(path).as_str() {
                "tar" => Kind::Tar(mapped()?),
                "zip" => Kind::Zip(zip::open(path, mapped()?)?),
                pack::ENDING => Kind::Pack(pack::Pack::open(path, mapped()?)?),
                _ => {
                    return Err(DataError::Tree {
                        path: path.to_owned(),
                        problem: format!(
                            "expected a folder, a .tar, a .zip or a .{} of images \
                             (a .tar.gz cannot be read here and there: gunzip it first)",
                            pack::ENDING
                        ),
                    });
                }
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

    /// Every file, sorted by name, and the stamps that tell whether this list still holds.
    pub(crate) fn members(&self) -> Result<(Vec<Member>, Vec<Stamp>), DataError> {
        let (mut members, stamps) = match &self.kind {
            Kind::Folder => folder::members(&self.path)?,
            archive => {
                let members = match archive {
                    Kind::Tar(map) => tar::members(&self.path, map)?,
                    Kind::Zip(archive) => zip::members(&self.path, archive)?,
                    Kind::Pack(pack) => pack.members(),
                    Kind::Folder => unreachable!("folders have been dealt with"),
                };
                let stamp = Stamp::of(&self.path).map_err(read_error(DataFile::on_disk(&self.path)))?;
                (members, vec![stamp])
            }
        };
        members.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = members.windows(2).find(|two| two[0].name == two[1].name) {
            return Err(DataError::DuplicateFile {
                container: self.path.clone(),
                file: twice[0].name.clone(),
            });
        }
        Ok((members, stamps))
    }

    /// The file's name for messages.
    pub(crate) fn file(&self, member: &Member) -> DataFile {
        match self.kind {
            Kind::Folder => DataFile::on_disk(self.path.join(&member.name)),
            _ => DataFile::inside(&self.path, &member.name),
        }
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, member: &Member) -> Result<Cow<'_, [u8]>, DataError> {
        if member.bytes > MOST_BYTES {
            return Err(DataError::TooLarge {
                file: self.file(member),
                bytes: member.bytes,
                limit: MOST_BYTES,
            });
        }
        let bytes = match &self.kind {
            Kind::Folder => folder::read(&self.path.join(&member.name), member).map(Cow::Owned),
            Kind::Tar(map) => map.part(member.place, member.bytes).map(Cow::Borrowed),
            Kind::Zip(archive) => zip::read(archive, member).map(Cow::Owned),
            Kind::Pack(pack) => pack.read(member).map(Cow::Borrowed),
        };
        bytes.map_err(read_error(self.file(member)))
    }
}

/// The ending of a file's name, in small letters.
pub(crate) fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// All of `input`, which has declared that it is `bytes` long; memory grows only with what is really there.
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
