#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
pub mod published;
mod request;
mod verify;

pub use error::FetchError;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// A file to download: its address, size and MD5, and how long to try.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Its address, `https` or `http`.
    pub url: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its MD5, in lowercase hexadecimal digits.
    pub md5: &'a str,
    /// How long to wait for a connection, an answer, or more bytes.
    pub timeout: Duration,
    /// Number of failed attempts in a row before giving up; 0 counts as 1. An attempt that received bytes restarts the count at 1.
    pub attempts: u32,
}

/// The result of [`Download::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file has been downloaded.
    New,
    /// The right file existed already. The network was not used.
    AlreadyThere,
}

impl Download<'_> {
    /// Downloads the file to `target` and verifies it. Calls `progress` with the number of bytes that have been received so far.
    ///
    /// # Errors
    /// Returns a [`FetchError`], which names the address or the file. An interrupted download stays in a file with `.part` after its
    /// name; wrong downloaded bytes are removed.
    pub fn run(&self, target: &Path, progress: &mut dyn FnMut(u64)) -> Result<Fetched, FetchError> {
        if target.exists() {
            verify::check(target, self.bytes, self.md5)?;
            return Ok(Fetched::AlreadyThere);
        }
        let part = part_of(target);
        self.receive(&part, progress)?;
        if let Err(error) = verify::check(&part, self.bytes, self.md5) {
            request::discard(&part)?;
            return Err(error.with_origin(self.url));
        }
        stompp_files::persist(&part, target).map_err(|source| FetchError::File {
            path: target.to_owned(),
            source,
        })?;
        Ok(Fetched::New)
    }

    /// Tries until the file `part` is complete.
    fn receive(&self, part: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        let size = || fs::metadata(part).map_or(0, |metadata| metadata.len());
        let mut failed = 0;
        let start = size();
        loop {
            let before = size();
            let Err(error) = request::resume(self, part, progress) else {
                return Ok(());
            };
            failed = if size() > before { 1 } else { failed + 1 };
            // If the server is unreachable and has sent no byte so far, waiting does not help.
            let no_network = matches!(error, FetchError::Unreachable { .. }) && size() == start;
            if failed >= self.attempts.max(1) || no_network || !error.is_temporary() {
                return Err(error);
            }
            // One second at first, then twice as long each time up to 32 s, but never longer than the timeout.
            sleep(Duration::from_secs(1 << (failed - 1).min(5)).min(self.timeout));
        }
    }
}

/// The file of an incomplete download.
fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
