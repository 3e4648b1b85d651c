//! Why a file could not be had.
//!
//! Messages are whole: they end with what the system or a library said. That part is a field spelled `r#source`, which keeps
//! `thiserror` from offering it a second time as the error's source.

use std::{io, path::PathBuf};

/// Why a file could not be had; every variant names the address or the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection, no answer in time, or a connection that broke before the answer.
    #[error("cannot reach {url}: {problem}")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The server answered, but not with the file.
    #[error("{url}: the server answered with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server says that the file has another size.
    #[error("{url}: the server says that the file has {found} bytes, expected {expected}")]
    Length {
        /// The address.
        url: String,
        /// The size that it told.
        found: u64,
        /// The published size.
        expected: u64,
    },
    /// The server sends other bytes than it was asked for.
    #[error("{url}: the server went on at another byte than asked for; starting over")]
    WrongRange {
        /// The address.
        url: String,
    },
    /// The download broke off.
    #[error("{url}: broke off after {received} of {expected} bytes: {problem}")]
    Interrupted {
        /// The address.
        url: String,
        /// Bytes that are there.
        received: u64,
        /// The published size.
        expected: u64,
        /// What went wrong.
        problem: String,
    },
    /// The server sends more than the file has.
    #[error("{url}: goes on after the {expected} bytes that the file has")]
    TooLong {
        /// The address.
        url: String,
        /// The published size.
        expected: u64,
    },
    /// All bytes came, and they are not the file's.
    #[error("{origin}: the MD5 is {found}, expected {expected}")]
    WrongBytes {
        /// The address, or the file that was there.
        origin: String,
        /// MD5 of what came.
        found: String,
        /// The published MD5.
        expected: String,
    },
    /// A file of that name is there and is not of that size.
    #[error("{} is there and has {found} bytes, expected {expected}: remove it first", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The published size.
        expected: u64,
    },
    /// The file could not be written or read.
    #[error("cannot write or read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        r#source: io::Error,
    },
}

impl FetchError {
    /// Whether trying again may help.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::WrongRange { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    /// The same about what came from an address.
    pub(crate) fn with_origin(self, url: &str) -> Self {
        match self {
            Self::WrongBytes { found, expected, .. } => Self::WrongBytes {
                origin: url.to_owned(),
                found,
                expected,
            },
            other => other,
        }
    }
}
