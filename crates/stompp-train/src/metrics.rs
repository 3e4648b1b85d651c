//! `metrics.jsonl`: what happened, one JSON object a line, each with its `"kind"`.
//!
//! A line is written whole, with one call, and synced: a crash may lose the last line, no other.

use crate::{
    Evaluation, RunResult, TrainError,
    callback::{Callback, EpochReport, RunStart},
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
    End { seconds: f64, top1: f64 },
}

impl Metrics {
    /// A new file in the run directory `run`.
    pub(crate) fn create(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(files::METRICS);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        Ok(Self {
            file: file.map_err(|source| files::io_error("create", &path, source))?,
            path,
        })
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

    fn on_end(&mut self, result: &RunResult) -> Result<(), TrainError> {
        self.write(&Line::End {
            seconds: result.seconds,
            top1: result.top1,
        })
    }
}
