//! A pack: many image files in one file, with an index at its end and a sum for each. *Ours.*
//!
//! ```text
//! "STOMPACK", version (u32)
//! the image files, one after another
//! the index, JSON: {"short_side": 256, "members": [{"name", "bytes", "place", "sum"}, ...]}
//! start and size of the index (u64 each), CRC-32 of it (u32), "STOMPACK"
//! ```
//!
//! Numbers are little endian; a `sum` is the CRC-32 of the member's bytes, a `place` where they begin. Members are called as in
//! the tree that was packed: `train/CLASS/NAME`.

use super::{Mapped, Member};
use crate::DataError;
use crate::error::{DataFile, read_error};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Ending of a pack's name.
pub(crate) const ENDING: &str = "pack";

const MAGIC: &[u8; 8] = b"STOMPACK";
const VERSION: u32 = 1;
const HEAD: u64 = 12;
const TAIL: usize = 28;

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    short_side: u32,
    members: Vec<Packed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    #[serde(flatten)]
    member: Member,
    sum: u32,
}

/// A pack, opened.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    map: Mapped,
    index: Arc<Index>,
    /// The sum of what begins at a place.
    sums: Arc<HashMap<u64, u32>>,
}

impl Pack {
    pub(super) fn open(path: &Path, map: Mapped) -> Result<Self, DataError> {
        let index = read_index(&map).map_err(read_error(DataFile::on_disk(path)))?;
        let sums = index.members.iter().map(|packed| (packed.member.place, packed.sum));
        Ok(Self {
            sums: Arc::new(sums.collect()),
            map,
            index: Arc::new(index),
        })
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.index.members.iter().map(|packed| packed.member.clone()).collect()
    }

    /// A member's bytes, if their sum is right.
    pub(super) fn read(&self, member: &Member) -> io::Result<&[u8]> {
        let bytes = self.map.part(member.place, member.bytes)?;
        match self.sums.get(&member.place) {
            Some(&sum) if crc32fast::hash(bytes) == sum => Ok(bytes),
            _ => Err(io::Error::other("is damaged: its CRC-32 is not the one written down")),
        }
    }
}

fn read_index(map: &[u8]) -> io::Result<Index> {
    let no_pack = || io::Error::other("is no pack, or cut off");
    let head = map.get(..HEAD as usize).ok_or_else(no_pack)?;
    let (before, tail) = map
        .split_last_chunk::<TAIL>()
        .filter(|_| head.starts_with(MAGIC))
        .ok_or_else(no_pack)?;
    if head[8..] != VERSION.to_le_bytes() {
        return Err(io::Error::other(format!(
            "is a pack of another version, expected {VERSION}"
        )));
    }
    let number = |at: usize| u64::from_le_bytes(tail[at..at + 8].try_into().expect("eight bytes"));
    let (start, bytes) = (number(0), number(8));
    let ends_there = start.checked_add(bytes) == Some(before.len() as u64);
    if !tail.ends_with(MAGIC) || !ends_there || start < HEAD {
        return Err(no_pack());
    }
    let text = &before[start as usize..];
    if crc32fast::hash(text).to_le_bytes() != tail[16..20] {
        return Err(io::Error::other(
            "is damaged: the CRC-32 of its index is not the one written down",
        ));
    }
    serde_json::from_slice(text).map_err(io::Error::other)
}

/// Writes a pack.
pub(crate) struct Writer<W> {
    output: W,
    at: u64,
    index: Index,
}

impl<W: Write> Writer<W> {
    /// Begins a pack of images shrunk to `short_side`.
    pub(crate) fn new(mut output: W, short_side: u32) -> io::Result<Self> {
        output.write_all(MAGIC)?;
        output.write_all(&VERSION.to_le_bytes())?;
        Ok(Self {
            output,
            at: HEAD,
            index: Index {
                short_side,
                members: Vec::new(),
            },
        })
    }

    /// Adds an image file.
    pub(crate) fn add(&mut self, name: String, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.index.members.push(Packed {
            member: Member {
                name,
                bytes: bytes.len() as u64,
                place: self.at,
            },
            sum: crc32fast::hash(bytes),
        });
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds the index.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let text = serde_json::to_vec(&self.index)?;
        self.output.write_all(&text)?;
        self.output.write_all(&self.at.to_le_bytes())?;
        self.output.write_all(&(text.len() as u64).to_le_bytes())?;
        self.output.write_all(&crc32fast::hash(&text).to_le_bytes())?;
        self.output.write_all(MAGIC)?;
        Ok(self.output)
    }
}
