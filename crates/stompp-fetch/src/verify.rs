//! Checking that a file is the published one.

use crate::FetchError;
use md5::{Digest, Md5};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Checks that the file has this size and MD5.
pub(crate) fn check(path: &Path, bytes: u64, md5: &str) -> Result<(), FetchError> {
    let (size, sum) = size_and_md5(path).map_err(|source| FetchError::File {
        path: path.to_owned(),
        source,
    })?;
    if size != bytes {
        return Err(FetchError::WrongSize {
            path: path.to_owned(),
            found: size,
            expected: bytes,
        });
    }
    if sum != md5 {
        return Err(FetchError::WrongBytes {
            origin: path.display().to_string(),
            found: sum,
            expected: md5.to_owned(),
        });
    }
    Ok(())
}

fn size_and_md5(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut digest, mut size) = (Md5::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let sum = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((size, sum));
        }
        digest.update(&buffer[..read]);
        size += read as u64;
    }
}
