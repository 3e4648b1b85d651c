//! Reads the headers of a tar, which lie far from each other.
//!
//! The system reads and keeps whole pages, of 4 KiB. As long as headers are in its memory, they are read from there. From the first one on
//! that is not, they are read past it, as one block of the disk each.

use super::FileRange;
use std::io::{self, Read, Seek, SeekFrom};

/// Headers begin at multiples of this, and are as long.
const BLOCK: usize = 512;

/// A tar, as its headers are read.
pub(super) struct Headers {
    range: FileRange,
    /// `None` if the system or the file system can read only pages.
    blocks: Option<Blocks>,
    /// Whether a header was not in the system's memory.
    cold: bool,
}

impl Headers {
    pub(super) fn new(range: FileRange) -> Self {
        Self {
            blocks: Blocks::open(&range),
            range,
            cold: false,
        }
    }

    /// Reads a block without its page, if that is possible.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Option<()> {
        if self.range.rest() < BLOCK as u64 {
            return None;
        }
        let (at, blocks) = (self.range.offset(), self.blocks.as_mut()?);
        let from_memory = match self.cold {
            true => Some(false),
            false => blocks.read_from_memory(&self.range, at, block),
        };
        let read = match from_memory {
            Some(true) => return Some(()),
            Some(false) => blocks.read_from_disk(at, block),
            None => None,
        };
        self.cold = true;
        if read.is_none() {
            self.blocks = None; // Not on this file system, or not in blocks of this size.
        }
        read
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Ok(block) = buffer.try_into()
            && self.read_block(block).is_some()
        {
            self.range.seek(SeekFrom::Current(BLOCK as i64))?;
            return Ok(BLOCK);
        }
        self.range.read(buffer)
    }
}

impl Seek for Headers {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.range.seek(to)
    }
}

#[cfg(target_os = "linux")]
use linux::Blocks;

#[cfg(target_os = "linux")]
mod linux {
    use super::{BLOCK, FileRange};
    use rustix::fs::OFlags;
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    use std::fs::{File, OpenOptions};
    use std::io::IoSliceMut;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    /// A file whose blocks are read past the system's memory.
    pub(super) struct Blocks {
        file: File,
        /// A buffer in which a block can begin at a multiple of its size, as the system wants it.
        buffer: Vec<u8>,
    }

    impl Blocks {
        /// `None` if the file system does not support it.
        pub(super) fn open(range: &FileRange) -> Option<Self> {
            let same = format!("/proc/self/fd/{}", range.file().as_raw_fd());
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(OFlags::DIRECT.bits() as i32)
                .open(same)
                .ok()?;
            Some(Self {
                file,
                buffer: vec![0; 2 * BLOCK],
            })
        }

        /// Reads the block at `at` if it is in memory, and returns whether it is. If not, the system may begin to read its page. `None` if
        /// the system cannot tell.
        pub(super) fn read_from_memory(&self, range: &FileRange, at: u64, block: &mut [u8; BLOCK]) -> Option<bool> {
            match preadv2(range.file(), &mut [IoSliceMut::new(block)], at, ReadWriteFlags::NOWAIT) {
                Ok(BLOCK) => Some(true),
                Err(Errno::AGAIN) => Some(false),
                _ => None,
            }
        }

        /// Reads the block at `at`. `None` if the file is no longer that long, or the disk has larger blocks.
        pub(super) fn read_from_disk(&mut self, at: u64, block: &mut [u8; BLOCK]) -> Option<()> {
            let start = self.buffer.as_ptr().align_offset(BLOCK);
            let aligned = self.buffer.get_mut(start..start + BLOCK)?;
            self.file.read_exact_at(aligned, at).ok()?;
            block.copy_from_slice(aligned);
            Some(())
        }
    }
}

/// Other systems have nothing like it in `rustix`.
#[cfg(not(target_os = "linux"))]
struct Blocks(std::convert::Infallible);

#[cfg(not(target_os = "linux"))]
impl Blocks {
    fn open(_: &FileRange) -> Option<Self> {
        None
    }

    fn read_from_memory(&self, _: &FileRange, _: u64, _: &mut [u8; BLOCK]) -> Option<bool> {
        match self.0 {}
    }

    fn read_from_disk(&mut self, _: u64, _: &mut [u8; BLOCK]) -> Option<()> {
        match self.0 {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::fs::{Advice, fadvise};
    use std::fs::File;

    /// Reads every block of the file.
    fn read_all(path: &std::path::Path, bytes: &[u8]) {
        let mut headers = Headers::new(FileRange::open(path).unwrap());
        for expected in bytes.chunks(BLOCK) {
            let mut block = [0; BLOCK];
            let (mut read, at) = (0, headers.range.offset());
            while read < expected.len() {
                // A part of a block is read in the usual way.
                let step = headers.read(&mut block[read..]).unwrap();
                assert!(step > 0);
                read += step;
            }
            assert_eq!(headers.range.offset(), at + expected.len() as u64);
            assert!(block[..read] == *expected);
        }
        assert_eq!(headers.read(&mut [0; BLOCK]).unwrap(), 0, "the end");
    }

    #[test]
    fn blocks_are_the_bytes_of_the_file_in_memory_or_not() {
        // Not in the folder of temporary files, which is often in memory.
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..100 * BLOCK + 77).map(|i| ((i * 7919) >> 5) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        read_all(&path, &bytes);
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        // Whether blocks are now read from the disk depends on the file system.
        read_all(&path, &bytes);
    }
}
