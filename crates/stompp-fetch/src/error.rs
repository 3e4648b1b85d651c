//! The errors of a download.
//!
//! Messages are complete: they end with the message of the system or a library. That part is a field spelled `r#source`, so that
//! `thiserror` does not report it a second time as the error's source.

use std::{io, path::PathBuf};

/// A download failed. Every variant names the address or the file.
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
        /// The size that the server reported.
        found: u64,
        /// The published size.
        expected: u64,
    },
    /// The server sent other bytes than requested.
    #[error("{url}: the server sent other bytes than requested; starting over")]
    WrongRange {
        /// The address.
        url: String,
    },
    /// The download was interrupted.
    #[error("{url}: interrupted after {received} of {expected} bytes: {problem}")]
    Interrupted {
        /// The address.
        url: String,
        /// Bytes that were received.
        received: u64,
        /// The published size.
        expected: u64,
        /// What went wrong.
        problem: String,
    },
    /// The server sent more bytes than the file has.
    #[error("{url}: the server sent more than the {expected} bytes of the file")]
    TooLong {
        /// The address.
        url: String,
        /// The published size.
        expected: u64,
    },
    /// The size is right, but the MD5 is wrong.
    #[error("{origin}: the MD5 is {found}, expected {expected}")]
    WrongBytes {
        /// The address, or the path of an existing file.
        origin: String,
        /// The MD5 of the bytes.
        found: String,
        /// The published MD5.
        expected: String,
    },
    /// A file with this name exists and has another size.
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
        /// The error of the operating system.
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

    /// Names `url` as the origin of wrong bytes.
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
