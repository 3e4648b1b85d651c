//! A file, or a part of it, that any thread can read at any position.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A part of a file. Clones share the file, but each has its own position.
///
/// The file is not memory-mapped: if another program truncates it, a read returns an error and the process survives. The system is asked
/// not to read ahead, because members are read in random order.
#[derive(Clone, Debug)]
pub(crate) struct FileRange {
    file: Arc<File>,
    start: u64,
    len: u64,
    position: u64,
}

impl FileRange {
    /// Opens a whole file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        advise(&file, Access::Random);
        Ok(Self {
            file: Arc::new(file),
            start: 0,
            len,
            position: 0,
        })
    }

    /// Runs `read`, in which the system reads ahead: for parts that are read from beginning to end.
    pub(crate) fn reading_ahead<T>(&self, read: impl FnOnce() -> T) -> T {
        advise(&self.file, Access::Sequential);
        let result = read();
        advise(&self.file, Access::Random);
        result
    }

    /// The whole file.
    #[cfg(target_os = "linux")]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The position in the whole file.
    pub(crate) fn offset(&self) -> u64 {
        self.start + self.position
    }

    /// Number of bytes from the position to the end.
    pub(crate) fn rest(&self) -> u64 {
        self.len.saturating_sub(self.position)
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes between `start` and `end`, as far as they exist. The position is at their beginning.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Self {
        let end = end.min(self.len);
        let start = start.min(end);
        Self {
            file: Arc::clone(&self.file),
            start: self.start + start,
            len: end - start,
            position: 0,
        }
    }

    /// Reads `bytes` bytes from `start` on. Returns an error if the file ends before.
    pub(crate) fn read_part(&self, start: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let part = self.slice(start, start.saturating_add(bytes));
        // Checked before memory is allocated.
        if part.len != bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short"));
        }
        let mut content = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut content, part.start)?;
        Ok(content)
    }
}

/// The order in which a file will be read.
#[derive(Clone, Copy)]
enum Access {
    Random,
    Sequential,
}

/// Tells the system the order of the next reads. A failure changes only their speed.
#[cfg(target_os = "linux")]
fn advise(file: &File, access: Access) {
    use rustix::fs::{Advice, fadvise};
    let advice = match access {
        Access::Random => Advice::Random,
        // The usual read-ahead: "sequential" would double it.
        Access::Sequential => Advice::Normal,
    };
    let _ = fadvise(file, 0, None, advice);
}

/// Other systems have no such call in `rustix`, or none at all.
#[cfg(not(target_os = "linux"))]
fn advise(_: &File, _: Access) {}

impl Read for FileRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.rest()).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let read = self
            .file
            .read_at(&mut buffer[..wanted], self.start + self.position.min(self.len))?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileRange {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a position before 0"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> (tempfile::NamedTempFile, FileRange) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let range = FileRange::open(file.path()).unwrap();
        (file, range)
    }

    #[test]
    fn parts_are_read_and_sought_as_files_are() {
        let (_file, range) = range();
        let mut part = range.slice(2, 6).slice(1, 100);
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), part.len()), ("345", 3));
        assert_eq!(part.seek(SeekFrom::End(-1)).unwrap(), 2);
        assert_eq!(part.clone().read(&mut [0; 8]).unwrap(), 1, "a clone has the position");
        assert_eq!(part.seek(SeekFrom::Current(50)).unwrap(), 52);
        assert_eq!(part.read(&mut [0; 8]).unwrap(), 0, "behind the end");
        assert!(part.seek(SeekFrom::Current(-53)).is_err());
        assert_eq!(range.slice(20, 30).len(), 0);
    }

    #[test]
    fn what_is_not_there_is_an_error_and_takes_no_memory() {
        let (file, range) = range();
        assert_eq!(range.read_part(8, 2).unwrap(), b"89");
        for (start, bytes) in [(8, 3), (11, 1), (0, u64::MAX), (u64::MAX, 2)] {
            let error = range.read_part(start, bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        // Another program truncates the file. A memory map would crash this process here.
        file.as_file().set_len(5).unwrap();
        assert!(range.read_part(4, 4).is_err());
        assert_eq!(range.slice(4, 8).read(&mut [0; 8]).unwrap(), 1);
    }
}
