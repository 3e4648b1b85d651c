//! `metrics.jsonl`: what happened, one JSON object a line, each with its `"kind"`.
//!
//! A line is written whole, with one call, and synced: a crash may lose the last line, no other.

use crate::{
    Evaluation, RunResult, TrainError,
    callback::{Callback, EpochReport, Restored, RunStart},
    error::damaged,
    files,
};
use serde::Serialize;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes the metrics of one run.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    file: File,
}

/// One line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line<'a> {
    Start(&'a RunStart),
    Epoch(&'a EpochReport),
    Evaluation(&'a Evaluation),
    BadImages { images: &'a [String] },
    Restore(&'a Restored),
    End { seconds: f64, top1: f64 },
}

impl Metrics {
    /// The file in the run directory `run`, made if it is missing.
    pub(crate) fn open(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(files::METRICS);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        Ok(Self {
            file: file.map_err(|source| files::io_error("create", &path, source))?,
            path,
        })
    }

    /// How long the file is, in bytes: all of it lasts.
    pub(crate) fn len(&self) -> Result<u64, TrainError> {
        let metadata = self.file.metadata();
        Ok(metadata
            .map_err(|source| files::io_error("read", &self.path, source))?
            .len())
    }

    /// Forgets all that was written beyond `len` bytes.
    ///
    /// # Errors
    /// [`TrainError::Damaged`] if there are not as many.
    pub(crate) fn go_back_to(&mut self, len: u64) -> Result<(), TrainError> {
        let found = self.len()?;
        if found < len {
            let problem = format!("has {found} bytes, but had {len} when the checkpoint was written");
            return Err(damaged(&self.path, problem));
        }
        let cut = self.file.set_len(len).and_then(|()| self.file.sync_all());
        cut.map_err(|source| files::io_error("cut", &self.path, source))
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), TrainError> {
        let mut text = serde_json::to_string(line).expect("metrics have a JSON form");
        text.push('\n');
        let mut write = || -> io::Result<()> {
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()
        };
        write().map_err(|source| files::io_error("write", &self.path, source))
    }
}

impl Callback for Metrics {
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        self.write(&Line::Start(start))
    }

    fn on_epoch(&mut self, epoch: &EpochReport) -> Result<(), TrainError> {
        self.write(&Line::Epoch(epoch))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        self.write(&Line::Evaluation(evaluation))
    }

    fn on_bad_images(&mut self, images: &[String]) -> Result<(), TrainError> {
        self.write(&Line::BadImages { images })
    }

    fn on_restore(&mut self, restored: &Restored) -> Result<(), TrainError> {
        self.write(&Line::Restore(restored))
    }

    fn on_end(&mut self, result: &RunResult) -> Result<(), TrainError> {
        self.write(&Line::End {
            seconds: result.seconds,
            top1: result.top1,
        })
    }
}
