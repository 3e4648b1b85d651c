#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Writes `bytes` to `path`. Replaces an existing file.
///
/// # Errors
/// Returns the I/O error if the folder is missing, or a write, sync or rename fails. `path` is then unchanged, unless only the last
/// sync, of the folder, failed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_in_parts(path, &[bytes])
}

/// As [`replace`], with the bytes in parts, one after another.
///
/// # Errors
/// Returns the errors of [`replace`].
pub fn replace_in_parts(path: &Path, parts: &[impl AsRef<[u8]>]) -> io::Result<()> {
    let mut file = AtomicFile::new(path)?;
    parts.iter().try_for_each(|part| file.file().write_all(part.as_ref()))?;
    file.replace()
}

/// Writes `bytes` to `path`, which must not exist yet.
///
/// # Errors
/// Returns the I/O error if `path` exists, the folder is missing, or a write, sync or rename fails. `path` is then unchanged, unless
/// only the last sync, of the folder, failed.
pub fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::new(path)?;
    file.file().write_all(bytes)?;
    file.create_new()
}

/// Removes the temporary files that killed processes have left in `folder`. Does nothing if the folder is missing. Call it only
/// while no other process writes there.
///
/// # Errors
/// Returns the I/O error if the folder cannot be read or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Prefix of the names of temporary files.
const PREFIX: &str = ".stompp-";

/// A file that is written under a temporary name and gets its own name when it is complete. Dropping it removes the temporary file.
#[derive(Debug)]
pub struct AtomicFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Creates the temporary file for `path`, in the same folder. It has the permissions of an ordinary file (minus the umask), not
    /// those of a private one.
    ///
    /// # Errors
    /// Returns the I/O error if the folder is missing or cannot be written to.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Ok(Self {
            file: builder.tempfile_in(folder_of(path))?,
            path: path.to_owned(),
        })
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Gives the file its name. Replaces an existing file.
    ///
    /// # Errors
    /// Returns the I/O error if a sync or the rename fails. An existing file is then unchanged, unless only the sync of the folder
    /// failed.
    pub fn replace(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.path)?;
        sync_folder(folder_of(&self.path))
    }

    /// Gives the file its name, which must not exist yet.
    ///
    /// # Errors
    /// As [`replace`](Self::replace), and also if a file with this name exists.
    pub fn create_new(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist_noclobber(&self.path)?;
        sync_folder(folder_of(&self.path))
    }
}

/// Syncs the finished file `from` and renames it to `to` in the same folder. Replaces an existing file.
///
/// # Errors
/// Returns the I/O error if a sync or the rename fails. Both files are then unchanged, unless only the sync of the folder failed.
pub fn persist(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    sync_folder(folder_of(to))
}

/// The folder of a path; the current folder for a bare file name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Syncs `folder`, so that a rename in it survives a power failure. Does nothing on systems other than Unix.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_never_written_over_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        create_new(&path, b"one").unwrap();
        assert_eq!(
            create_new(&path, b"two").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".stompp-abc", ".other", "kept"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join(".stompp-folder")).unwrap();
        remove_leftovers(folder.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [".other", ".stompp-folder", "kept"]);
        remove_leftovers(&folder.path().join("gone")).unwrap();
    }

    #[test]
    fn a_failed_replacement_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::create_dir(&path).unwrap(); // a folder cannot be replaced by a file
        fs::write(path.join("inside"), b"kept").unwrap();
        assert!(replace(&path, b"two").is_err());
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "the temporary file is gone"
        );
        assert!(replace(&folder.path().join("gone/a"), b"x").is_err());
    }

    #[test]
    fn an_atomic_file_has_no_name_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = AtomicFile::new(&path).unwrap();
        file.file().write_all(b"one").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let part = folder.path().join("a.part");
        fs::write(&part, b"two").unwrap();
        persist(&part, &path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), part.exists()), (b"two".to_vec(), false));
        assert!(persist(&part, &path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    /// A reader always sees one of the two contents, never a part of one or nothing.
    #[test]
    fn a_reader_never_sees_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let contents = [vec![0u8; 1 << 16], vec![1u8; 1 << 17]];
        replace(&path, &contents[0]).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..40).for_each(|i| replace(&path, &contents[i % 2]).unwrap()));
            while !writer.is_finished() {
                let seen = fs::read(&path).unwrap();
                assert!(contents.contains(&seen), "{} bytes", seen.len());
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn files_are_ordinary_ones_not_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        create_new(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
