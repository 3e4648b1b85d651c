//! Files that are replaced whole or not at all.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Creates `folder` and what it lies in, where they are missing.
///
/// # Errors
/// Names the folder.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))
}

/// Replaces a file: written beside its target, synced, renamed, folder synced.
///
/// # Errors
/// Names the file, which is then as it was.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().expect("a file lies in a folder");
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::Builder::new();
        #[cfg(unix)]
        temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = temporary.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        if cfg!(unix) {
            File::open(folder)?.sync_all()
        } else {
            Ok(())
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
