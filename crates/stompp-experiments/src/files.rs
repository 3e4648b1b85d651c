//! Writing files and folders, with errors that name the path.

use crate::error::{Result, io_error};
use std::fs;
use std::path::Path;

/// Creates `folder` and its parents if they do not exist.
///
/// # Errors
/// Returns [`ExperimentError::Io`](crate::ExperimentError::Io) if the folder cannot be created.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(io_error("create the folder", folder))
}

/// Replaces a file atomically.
///
/// # Errors
/// Returns [`ExperimentError::Io`](crate::ExperimentError::Io) if the file cannot be written. The old file is then unchanged.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    stompp_files::replace(path, content.as_ref()).map_err(io_error("write", path))
}
