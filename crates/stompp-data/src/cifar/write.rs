//! Writing a file of records: whole or not at all.

use crate::DataError;
use std::fs::Permissions;
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` to `folder/name`: into a temporary file beside it, which is synced and then renamed.
pub(crate) fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), DataError> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        let permissions = ordinary_permissions();
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let mut file = builder.prefix(".stompp-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|source| DataError::Write {
        path: path.clone(),
        source,
    })
}

/// Temporary files are private by default; these become ordinary files (less the umask).
#[cfg(unix)]
fn ordinary_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn ordinary_permissions() -> Option<Permissions> {
    None
}
