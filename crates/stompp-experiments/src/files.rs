//! Folders and files whose errors name them.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Creates `folder` and its parents, where they are missing.
///
/// # Errors
/// Names the folder.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))
}

/// Replaces a file, whole or not at all.
///
/// # Errors
/// Names the file, which is then as it was.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    stompp_files::replace(path, content.as_ref()).with_context(|| format!("cannot write {}", path.display()))
}
