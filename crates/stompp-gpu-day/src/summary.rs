//! `summary.json`: the results of all calls, and the state that a second call continues from.

use crate::machine::MachineTools;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io::ErrorKind, path::Path};

/// Everything about the calls with one output folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DaySummary {
    /// The commit of the newest bundle that was used.
    pub(crate) revision: String,
    /// Whether that bundle has a fake driver. Its times and accuracies are meaningless.
    pub(crate) stand_in: bool,
    pub(crate) machine: Option<MachineTools>,
    pub(crate) calls: Vec<Call>,
    /// The steps in the order of their runs.
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) training: Option<Training>,
    /// The results of the benchmark.
    pub(crate) bench: Option<serde_json::Value>,
    /// The results of the profile.
    pub(crate) profile: Option<serde_json::Value>,
}

/// One call of `gpu-day.sh`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Seconds since 1970, UTC.
    pub(crate) started_unix: u64,
    /// The time limit.
    pub(crate) minutes: f64,
    /// The duration; `None` while the call runs, or if it was killed.
    pub(crate) seconds: Option<f64>,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Passed,
    Failed,
    /// The step exceeded its time limit.
    TimedOut,
    /// The time of the call ended first. The next call runs the step again.
    CutOff,
    /// Something that the step needs is missing.
    Skipped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED OUT",
            Self::CutOff => "cut off",
            Self::Skipped => "skipped",
        })
    }
}

/// The record of a step's last run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    pub(crate) name: String,
    pub(crate) status: Status,
    /// Why the step was skipped, or how it failed.
    pub(crate) reason: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) limit_seconds: f64,
    pub(crate) revision: String,
    /// The bundle of the step ([`BundleInfo::built`](crate::bundle::BundleInfo::built)).
    pub(crate) built: String,
}

impl StepRecord {
    /// Whether another call with the bundle `built` keeps this record instead of running the step again. A failed step runs again
    /// only from another bundle.
    pub(crate) fn is_final(&self, built: &str) -> bool {
        match self.status {
            Status::Passed => true,
            Status::Failed | Status::TimedOut => self.built == built,
            Status::CutOff | Status::Skipped => false,
        }
    }
}

/// The trainings, side by side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Training {
    /// Epochs of each run. StoMPP's schedule depends on it, so later calls do not change it.
    pub(crate) epochs: u32,
    /// Measured seconds of an epoch with everything on the tape; `None` if `--epochs` was given.
    pub(crate) epoch_seconds: Option<f64>,
    /// The last epoch at which every method was evaluated.
    pub(crate) common_epoch: u32,
    pub(crate) methods: Vec<Method>,
}

/// One training.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Method {
    pub(crate) name: String,
    /// Whether the training has finished.
    pub(crate) finished: bool,
    pub(crate) evaluations: Vec<Evaluation>,
}

/// The needed fields of an `evaluation` line of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    pub(crate) epoch: f64,
    pub(crate) train_loss: f64,
    pub(crate) test_loss: f64,
    /// Top-1 accuracy in percent of the binarized network (every mask all ones).
    pub(crate) top1: f64,
    /// Top-1 accuracy in percent of the network with its current masks.
    pub(crate) top1_as_it_stands: f64,
    pub(crate) committed_fraction: f64,
}

impl DaySummary {
    /// Loads the summary of earlier calls. It is empty if there is no file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        stompp_files::replace(path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
    }

    /// The record of a step, if it has run.
    pub(crate) fn step(&self, name: &str) -> Option<&StepRecord> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Adds a record, or replaces the older record of the same step.
    pub(crate) fn record(&mut self, record: StepRecord) {
        match self.steps.iter_mut().find(|step| step.name == record.name) {
            Some(step) => *step = record,
            None => self.steps.push(record),
        }
    }

    /// Whether no step has failed or exceeded its time limit.
    pub(crate) fn has_no_failures(&self) -> bool {
        let bad = |step: &StepRecord| matches!(step.status, Status::Failed | Status::TimedOut);
        !self.steps.iter().any(bad)
    }
}

impl fmt::Display for DaySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{:<26} {:<9} {:>7.1} s", step.name, step.status, step.seconds)?;
            match &step.reason {
                Some(reason) => writeln!(f, "  {reason}")?,
                None => writeln!(f)?,
            }
        }
        let Some(training) = &self.training else { return Ok(()) };
        writeln!(
            f,
            "top-1 after {} of {} epochs:",
            training.common_epoch, training.epochs
        )?;
        for method in &training.methods {
            let at = |evaluation: &&Evaluation| evaluation.epoch.round() as u32 == training.common_epoch;
            match method.evaluations.iter().find(at) {
                Some(Evaluation {
                    top1,
                    top1_as_it_stands,
                    ..
                }) => {
                    writeln!(
                        f,
                        "  {:<14} {top1:6.2} % ({top1_as_it_stands:.2} % as it stands)",
                        method.name
                    )?;
                }
                None => writeln!(f, "  {:<14} not evaluated yet", method.name)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: Status) -> StepRecord {
        StepRecord {
            name: "x".to_owned(),
            status,
            reason: None,
            seconds: 1.0,
            limit_seconds: 2.0,
            revision: "r".to_owned(),
            built: "first".to_owned(),
        }
    }

    #[test]
    fn what_is_left_runs_again_and_what_failed_only_from_another_bundle() {
        for (status, same, other) in [
            (Status::Passed, true, true),
            (Status::Failed, true, false),
            (Status::TimedOut, true, false),
            (Status::CutOff, false, false),
            (Status::Skipped, false, false),
        ] {
            let record = record(status);
            assert_eq!(
                (record.is_final("first"), record.is_final("second")),
                (same, other),
                "{status}"
            );
        }
    }

    #[test]
    fn a_summary_survives_its_file_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let mut summary = DaySummary::load(&path).unwrap();
        assert!(summary.steps.is_empty() && summary.has_no_failures());
        summary.record(record(Status::Failed));
        assert!(!summary.has_no_failures());
        summary.record(record(Status::CutOff));
        summary.save(&path).unwrap();
        let loaded = DaySummary::load(&path).unwrap();
        assert_eq!(
            (loaded.steps.len(), loaded.steps[0].status, loaded.has_no_failures()),
            (1, Status::CutOff, true)
        );
        fs::write(&path, "{").unwrap();
        assert!(
            DaySummary::load(&path)
                .unwrap_err()
                .to_string()
                .contains("summary.json")
        );
    }
}
