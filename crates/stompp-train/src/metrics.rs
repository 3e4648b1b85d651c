//! `metrics.jsonl`: what happened, one JSON object a line, each with its `"kind"`.
//!
//! A line is written whole, with one call, and synced: a crash may lose the last line, no other.

use crate::{
    DiagnosticsReport, Evaluation, RunResult, TrainError, Warning,
    callback::{Callback, EpochReport, RestoreReport, RunStart},
    error::damaged,
    files,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes the metrics of one run.
#[derive(Debug)]
pub(crate) struct MetricsWriter {
    path: PathBuf,
    file: File,
}

/// One line of `metrics.jsonl`, in the order in which things happened. Its JSON has the field `kind`: `start`, `epoch`, `diagnostics`,
/// `evaluation`, `bad-images`, `notes`, `restore`, `concern` or `end`, and the fields of what it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MetricRecord {
    /// Training began, or went on.
    Start(RunStart),
    /// An epoch ended, or the training inside of one.
    Epoch(EpochReport),
    /// How each unit fares.
    Diagnostics(DiagnosticsReport),
    /// An evaluation.
    Evaluation(Evaluation),
    /// Images that could not be read and were left out.
    BadImages {
        /// What is wrong with each, naming its file.
        images: Vec<String>,
    },
    /// What there is to know about the images.
    Notes {
        /// A line each.
        notes: Vec<String>,
    },
    /// A return to a checkpoint. Lines before it that are beyond its step are not there any more.
    Restore(RestoreReport),
    /// A reason to doubt the result.
    #[serde(rename = "concern")]
    Warning(Warning),
    /// The run ended.
    End {
        /// Wall time of the training.
        seconds: f64,
        /// Top-1 accuracy of the deploy network, percent.
        top1: f64,
    },
}

impl MetricRecord {
    /// What the run in the directory `run` has told so far. A last line without an end, which a crash may leave, is passed over.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not one of these; the line is numbered.
    pub fn read(run: &Path) -> Result<Vec<Self>, TrainError> {
        let path = run.join(files::METRICS);
        let bytes = files::read(&path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate();
        lines
            .map(|(place, line)| {
                serde_json::from_slice(line).map_err(|error| damaged(&path, format!("line {}: {error}", place + 1)))
            })
            .collect()
    }
}

impl MetricsWriter {
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
    pub(crate) fn truncate(&mut self, len: u64) -> Result<(), TrainError> {
        let found = self.len()?;
        if found < len {
            let problem = format!("has {found} bytes, but had {len} when the checkpoint was written");
            return Err(damaged(&self.path, problem));
        }
        let cut = self.file.set_len(len).and_then(|()| self.file.sync_all());
        cut.map_err(|source| files::io_error("cut", &self.path, source))
    }

    fn write(&mut self, line: &MetricRecord) -> Result<(), TrainError> {
        let mut text = serde_json::to_string(line).expect("metrics have a JSON form");
        text.push('\n');
        let mut write = || -> io::Result<()> {
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()
        };
        write().map_err(|source| files::io_error("write", &self.path, source))
    }
}

impl Callback for MetricsWriter {
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        self.write(&MetricRecord::Start(start.clone()))
    }

    fn on_epoch(&mut self, epoch: &EpochReport) -> Result<(), TrainError> {
        self.write(&MetricRecord::Epoch(epoch.clone()))
    }

    fn on_diagnostics(&mut self, diagnostics: &DiagnosticsReport) -> Result<(), TrainError> {
        self.write(&MetricRecord::Diagnostics(diagnostics.clone()))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        self.write(&MetricRecord::Evaluation(evaluation.clone()))
    }

    fn on_bad_images(&mut self, images: &[String]) -> Result<(), TrainError> {
        self.write(&MetricRecord::BadImages {
            images: images.to_vec(),
        })
    }

    fn on_notes(&mut self, notes: &[String]) -> Result<(), TrainError> {
        self.write(&MetricRecord::Notes { notes: notes.to_vec() })
    }

    fn on_restore(&mut self, restored: &RestoreReport) -> Result<(), TrainError> {
        self.write(&MetricRecord::Restore(restored.clone()))
    }

    fn on_warning(&mut self, warning: &Warning) -> Result<(), TrainError> {
        self.write(&MetricRecord::Warning(*warning))
    }

    fn on_end(&mut self, result: &RunResult) -> Result<(), TrainError> {
        self.write(&MetricRecord::End {
            seconds: result.seconds,
            top1: result.top1,
        })
    }
}
