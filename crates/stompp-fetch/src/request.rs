//! One request for the missing part of a file.

use crate::{Download, FetchError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use ureq::http::{HeaderMap, StatusCode, header};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Requests the missing bytes of `part` and appends them.
pub(crate) fn resume(download: &Download<'_>, part: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
    let mut have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    if have > download.bytes {
        discard(part)?;
        have = 0;
    }
    if have == download.bytes {
        return Ok(());
    }
    let url = || download.url.to_owned();
    let mut response = ask(download, have)?;
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let (start, whole) = content_range(response.headers()).unwrap_or_default();
            if start != have {
                discard(part)?;
                return Err(FetchError::WrongRange { url: url() });
            }
            check_length(download, whole)?;
        }
        StatusCode::OK => {
            if let Some(length) = content_length(response.headers()) {
                check_length(download, length)?;
            }
            // The server ignores the range and sends the whole file.
            discard(part)?;
            have = 0;
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            discard(part)?;
            return Err(FetchError::WrongRange { url: url() });
        }
        status => {
            return Err(FetchError::Status {
                url: url(),
                status: status.as_u16(),
            });
        }
    }
    append(download, part, have, response.body_mut().as_reader(), progress)
}

fn ask(download: &Download<'_>, have: u64) -> Result<ureq::http::Response<ureq::Body>, FetchError> {
    let timeout = Some(download.timeout);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(timeout)
        .timeout_connect(timeout)
        .timeout_recv_response(timeout)
        .timeout_per_read(timeout)
        .build()
        .into();
    let mut request = agent.get(download.url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    request.call().map_err(|error| FetchError::Unreachable {
        url: download.url.to_owned(),
        problem: error.to_string(),
    })
}

fn append(
    download: &Download<'_>,
    part: &Path,
    mut have: u64,
    mut body: impl Read,
    progress: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(part)
        .map_err(file_error(part))?;
    let mut buffer = vec![0; CHUNK];
    let broken_off = |received, problem| FetchError::Interrupted {
        url: download.url.to_owned(),
        received,
        expected: download.bytes,
        problem,
    };
    loop {
        let read = match body.read(&mut buffer) {
            Ok(read) => read,
            Err(error) => return Err(broken_off(have, error.to_string())),
        };
        if read == 0 {
            return match have == download.bytes {
                true => sync(&file, part),
                false => Err(broken_off(have, "the connection was closed".to_owned())),
            };
        }
        if have + read as u64 > download.bytes {
            discard(part)?;
            return Err(FetchError::TooLong {
                url: download.url.to_owned(),
                expected: download.bytes,
            });
        }
        file.write_all(&buffer[..read]).map_err(file_error(part))?;
        have += read as u64;
        progress(have);
    }
}

fn sync(file: &File, part: &Path) -> Result<(), FetchError> {
    file.sync_all().map_err(file_error(part))
}

/// Removes what was received.
pub(crate) fn discard(part: &Path) -> Result<(), FetchError> {
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(part)(error)),
        _ => Ok(()),
    }
}

fn check_length(download: &Download<'_>, found: u64) -> Result<(), FetchError> {
    if found == download.bytes {
        return Ok(());
    }
    Err(FetchError::Length {
        url: download.url.to_owned(),
        found,
        expected: download.bytes,
    })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// First byte of the range and size of the whole file, from `bytes START-END/WHOLE`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (start, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
    let (_, whole) = rest.split_once('/')?;
    Some((start.parse().ok()?, whole.parse().ok()?))
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::File { path, source }
}
