//! Atomic writing of a file of records.

use crate::DataError;
use std::path::Path;

/// Writes `bytes` to `folder/name`, and replaces an existing file.
pub(crate) fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), DataError> {
    let path = folder.join(name);
    stompp_files::replace(&path, bytes).map_err(|source| DataError::Write { path, source })
}
