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

/// Where a file is, what it must be, and how long to try.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Its address, `https` or `http`.
    pub url: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its MD5, in small hexadecimal digits.
    pub md5: &'a str,
    /// How long to wait for a connection, an answer, or more bytes.
    pub timeout: Duration,
    /// How often to try without a single new byte before giving up; at least once.
    pub attempts: u32,
}

/// What [`Download::run`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file has been downloaded.
    New,
    /// The right file was there already; nothing was asked of the network.
    AlreadyThere,
}

impl Download<'_> {
    /// Gets the file to `target`. `progress` is told how many bytes of it there are.
    ///
    /// # Errors
    /// [`FetchError`], which names the address or file at fault. What was received of a download that broke off stays in the
    /// file `.part`; wrong bytes do not stay.
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

    /// Tries until the file `part` has all its bytes.
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
            // Where nothing answers from the beginning, waiting is of no use.
            let no_network = matches!(error, FetchError::Unreachable { .. }) && size() == start;
            if failed >= self.attempts.max(1) || no_network || !error.is_temporary() {
                return Err(error);
            }
            // A second at first, then twice as long each time; no longer than anything else is waited for.
            sleep(Duration::from_secs(1 << (failed - 1).min(5)).min(self.timeout));
        }
    }
}

/// Where a download is kept until it is whole.
fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
