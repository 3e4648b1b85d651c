//! `metrics.jsonl`: the events of a run, one JSON object per line, each with its `"kind"`.
//!
//! Each line is written with one call and synced, so a crash can lose at most the last line.

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

/// One line of `metrics.jsonl`. Its JSON has the field `kind` (`start`, `epoch`, `diagnostics`, `evaluation`, `bad-images`, `notes`,
/// `restore`, `concern` or `end`) and the fields of the variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MetricRecord {
    /// Training started or resumed.
    Start(RunStart),
    /// An epoch ended, or the training ended inside an epoch.
    Epoch(EpochReport),
    /// Diagnostics of each unit.
    Diagnostics(DiagnosticsReport),
    /// An evaluation.
    Evaluation(Evaluation),
    /// Images that could not be read and were left out.
    BadImages {
        /// One line per image: its file and the problem.
        images: Vec<String>,
    },
    /// Notes about the images.
    Notes {
        /// The notes, one line each.
        notes: Vec<String>,
    },
    /// A return to a checkpoint. The lines of steps after that checkpoint have been removed.
    Restore(RestoreReport),
    /// A reason to doubt the result.
    #[serde(rename = "concern")]
    Warning(Warning),
    /// The run ended.
    End {
        /// Wall time of the training, in seconds.
        seconds: f64,
        /// Top-1 accuracy of the deploy network, in percent.
        top1: f64,
    },
}

impl MetricRecord {
    /// Reads the metrics of the run in the directory `run`. An incomplete last line, which a crash can leave, is skipped.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file cannot be read, and [`TrainError::Damaged`] with the line number if a line is not a valid
    /// record.
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
    /// Opens the file in the run directory `run`; creates it if it is missing.
    pub(crate) fn open(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(files::METRICS);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        Ok(Self {
            file: file.map_err(|source| files::io_error("create", &path, source))?,
            path,
        })
    }

    /// The length of the file in bytes. All of it has been synced.
    pub(crate) fn len(&self) -> Result<u64, TrainError> {
        let metadata = self.file.metadata();
        Ok(metadata
            .map_err(|source| files::io_error("read", &self.path, source))?
            .len())
    }

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// Returns [`TrainError::Damaged`] if the file is shorter, and [`TrainError::Io`] if it cannot be cut.
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
