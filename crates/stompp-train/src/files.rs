//! The files of a run directory: their names, and functions that write them atomically.

use crate::{TrainError, error::damaged};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The resolved configuration.
pub(crate) const CONFIG: &str = "config.toml";
/// Code, machine and derived values.
pub(crate) const RUN: &str = "run.json";
/// The network's graph.
pub(crate) const MODEL: &str = "model.toml";
/// The network's summary.
pub(crate) const SUMMARY: &str = "summary.txt";
/// The metrics, one record per line.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// The metrics for TensorBoard.
pub(crate) const EVENTS: &str = "events.out.tfevents.stompp";
/// The trained network.
pub(crate) const NETWORK: &str = "network.safetensors";
/// The result; its presence means that the run is finished.
pub(crate) const RESULT: &str = "result.json";

/// Names of the classes of image files, in order.
pub(crate) const CLASSES: &str = "classes.json";
/// The list of the image files.
pub(crate) const INDEX: &str = "images.jsonl.gz";
/// The list of the image files in run directories of older versions.
const OLD_INDEX: &str = "images.json";

/// Every file of a run directory.
pub(crate) const ALL: [&str; 11] = [
    CONFIG, RUN, MODEL, SUMMARY, METRICS, EVENTS, NETWORK, RESULT, CLASSES, INDEX, OLD_INDEX,
];

/// The path of the list of image files in a run directory; that of an older version if there is no other.
pub(crate) fn index(run: &Path) -> PathBuf {
    let (index, old) = (run.join(INDEX), run.join(OLD_INDEX));
    if !index.exists() && old.exists() { old } else { index }
}

/// Writes a new file atomically. Never replaces a file.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file exists or cannot be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    stompp_files::create_new(path, bytes).map_err(|source| io_error("write", path, source))
}

/// Writes a file atomically. Replaces an existing file.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file cannot be written; an existing file is then unchanged.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    stompp_files::replace(path, bytes).map_err(|source| io_error("write", path, source))
}

/// Writes parts of a file, one after another, as [`replace`] does.
///
/// # Errors
/// Returns the errors of [`replace`].
pub(crate) fn replace_in_parts(path: &Path, parts: &[Vec<u8>]) -> Result<(), TrainError> {
    stompp_files::replace_in_parts(path, parts).map_err(|source| io_error("write", path, source))
}

/// Writes `value` as JSON with [`replace`].
///
/// # Errors
/// Returns the errors of [`replace`].
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    replace(path, json(value).as_bytes())
}

/// Writes `value` as JSON with [`write_new`].
///
/// # Errors
/// Returns the errors of [`write_new`].
pub(crate) fn write_new_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    write_new(path, json(value).as_bytes())
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("records have a JSON form");
    text.push('\n');
    text
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file cannot be read, and [`TrainError::Damaged`] if it is larger. A larger file is not read.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, TrainError> {
    let size = fs::metadata(path)
        .map_err(|source| io_error("read", path, source))?
        .len();
    if size > most {
        return Err(damaged(path, format!("has {size} bytes, expected at most {most}")));
    }
    read(path)
}

/// Reads a file.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    fs::read(path).map_err(|source| io_error("read", path, source))
}

/// Reads a JSON file.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file cannot be read, and [`TrainError::Damaged`] if it is not JSON of type `T`.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    serde_json::from_slice(&read(path)?).map_err(|error| damaged(path, error.to_string()))
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> TrainError {
    TrainError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_written_over_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_new(&path, b"[1, 2]").unwrap();
        let error = write_new(&path, b"other").unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot write {}: ", path.display())),
            "{error}"
        );
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap(), [1, 2]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_gone_and_a_file_cut_short_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/a.json");
        let error = write_new(&path, b"[]").unwrap_err().to_string();
        assert!(error.contains("gone/a.json"), "{error}");
        let path = folder.path().join("b.json");
        write_new(&path, b"[1, 2").unwrap();
        let error = read_json::<Vec<i32>>(&path).unwrap_err().to_string();
        assert!(error.contains("b.json: EOF"), "{error}");
    }
}
