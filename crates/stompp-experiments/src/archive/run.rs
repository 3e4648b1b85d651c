//! One archived run: its configuration, code, machine and results.

use super::columns::{Epochs, Evaluations, Gradients};
use crate::divergence::Divergence;
use crate::error::{ExperimentError, Result, io_error};
use crate::parent;
use crate::run_dir::FinishedRun;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use stompp_train::{MetricRecord, RunConfig, RunRecord, RunResult, SavedRun, Warning};

/// A run without its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchivedRun {
    /// Without the paths of images and of other runs.
    pub(super) config: RunConfig,
    run: RunRecord,
    pub(super) outcome: ArchivedOutcome,
    epochs: Epochs,
    evaluations: Evaluations,
    gradients: Gradients,
}

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum ArchivedOutcome {
    /// The fields of [`RunResult`] that are not elsewhere in the file.
    Finished {
        top1: f64,
        top1_as_it_stands: f64,
        test_loss: f64,
        units: usize,
        seconds: f64,
        images_per_s: f64,
        #[serde(default, rename = "concerns", skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
    },
    Diverged(Divergence),
}

/// One epoch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochPoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Top-1 accuracy on the training batches during the epoch, in percent.
    pub train_top1: f64,
}

impl EpochPoint {
    /// Selects the epochs in `metrics`.
    pub(crate) fn from_metrics(metrics: &[MetricRecord]) -> Vec<Self> {
        let points = metrics.iter().filter_map(|metric| match metric {
            MetricRecord::Epoch(epoch) => Some(Self {
                step: epoch.step,
                train_loss: epoch.train_loss,
                train_top1: epoch.train_top1,
            }),
            _ => None,
        });
        points.collect()
    }
}

/// The gradients of the first and the last layer, at one diagnostics step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientPoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Norm of the gradient of the first convolution's weight.
    pub stem_norm: f64,
    /// Norm of the gradient of the head's weight.
    pub head_norm: f64,
}

impl GradientPoint {
    /// Selects the diagnostics steps in `metrics`.
    pub(crate) fn from_metrics(metrics: &[MetricRecord]) -> Vec<Self> {
        let points = metrics.iter().filter_map(|metric| match metric {
            MetricRecord::Diagnostics(report) => Some(Self {
                step: report.step,
                stem_norm: report.stem_gradient_norm,
                head_norm: report.head_gradient_norm,
            }),
            _ => None,
        });
        points.collect()
    }
}

impl ArchivedOutcome {
    /// Accuracy in percent; `None` if the run diverged.
    pub(super) fn top1(&self) -> Option<f64> {
        match self {
            Self::Finished { top1, .. } => Some(*top1),
            Self::Diverged(_) => None,
        }
    }
}

impl ArchivedRun {
    /// Reads the run in the directory `dir`, which has finished or diverged.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`] if the run has not ended, or a file cannot be read.
    pub(super) fn from_directory(dir: &Path, diverged: Option<&Divergence>) -> Result<Self> {
        let SavedRun { mut config, record, .. } = SavedRun::open(dir)?;
        (config.data.path, config.data.labels) = (None, None);
        parent::remove_folder(&mut config);
        let metrics = MetricRecord::read(dir)?;
        let epochs = EpochPoint::from_metrics(&metrics).into_iter().collect();
        let evaluations = || {
            metrics.iter().filter_map(|metric| match metric {
                MetricRecord::Evaluation(evaluation) => Some(evaluation),
                _ => None,
            })
        };
        let (outcome, evaluations) = match diverged {
            Some(divergence) => (ArchivedOutcome::Diverged(divergence.clone()), evaluations().collect()),
            None => {
                let result = RunResult::load(dir)?;
                let outcome = ArchivedOutcome::Finished {
                    top1: result.top1,
                    top1_as_it_stands: result.top1_as_it_stands,
                    test_loss: result.test_loss,
                    units: result.units,
                    seconds: result.seconds,
                    images_per_s: result.images_per_s,
                    warnings: result.warnings.clone(),
                };
                (outcome, result.evaluations.iter().collect())
            }
        };
        Ok(Self {
            config,
            run: record,
            outcome,
            epochs,
            evaluations,
            gradients: GradientPoint::from_metrics(&metrics).into_iter().collect(),
        })
    }

    /// Reads a file of the archive.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Io`] if the file cannot be read, and [`ExperimentError::Damaged`] if it is not valid.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let damaged = |problem: String| ExperimentError::Damaged {
            path: path.to_owned(),
            problem,
        };
        let run: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        run.epochs
            .check()
            .and_then(|()| run.evaluations.check())
            .and_then(|()| run.gradients.check())
            .map_err(damaged)?;
        Ok(run)
    }

    /// The finished run; `None` if it diverged.
    pub(crate) fn finished_run(&self) -> Option<FinishedRun> {
        let ArchivedOutcome::Finished {
            top1,
            top1_as_it_stands,
            test_loss,
            units,
            seconds,
            images_per_s,
            ref warnings,
        } = self.outcome
        else {
            return None;
        };
        let run = self.run.clone();
        Some(FinishedRun {
            result: RunResult {
                top1,
                top1_as_it_stands,
                test_loss,
                steps: run.steps,
                steps_per_epoch: run.steps_per_epoch,
                train_images: run.train_images,
                test_images: run.test_images,
                units,
                seconds,
                images_per_s,
                warnings: warnings.clone(),
                evaluations: self.evaluations.points(units, run.steps_per_epoch),
            },
            run,
        })
    }

    /// Where the run diverged; `None` if it finished.
    pub(crate) fn divergence(&self) -> Option<&Divergence> {
        match &self.outcome {
            ArchivedOutcome::Finished { .. } => None,
            ArchivedOutcome::Diverged(divergence) => Some(divergence),
        }
    }

    /// The gradients at each diagnostics step.
    pub(crate) fn gradients(&self) -> Vec<GradientPoint> {
        self.gradients.points()
    }

    /// The epochs of the run.
    pub(crate) fn epochs(&self) -> Vec<EpochPoint> {
        self.epochs.points()
    }
}
