//! A file as memory: the one module of this crate with unsafe code.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// A file mapped read-only; clones share the mapping.
#[derive(Clone, Debug)]
pub(crate) struct Mapped(Arc<Mmap>);

impl Mapped {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and only ever seen as bytes, of which no value is invalid. What the operating system
        // cannot promise is that no other process writes to the file meanwhile; then bytes change under a reader, which
        // decoders take as a damaged image, or the process is ended by the system if the file is cut short. An archive
        // that is being read must not be written to; documented in `docs/data.md`.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(Arc::new(map)))
    }

    /// Part of the file, or an error if it is not all there.
    pub(crate) fn part(&self, start: u64, bytes: u64) -> io::Result<&[u8]> {
        range(start, bytes)
            .and_then(|range| self.get(range))
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before"))
    }
}

fn range(start: u64, bytes: u64) -> Option<Range<usize>> {
    let end = start.checked_add(bytes)?;
    Some(start.try_into().ok()?..end.try_into().ok()?)
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
