//! One archived run: its configuration, code, machine and results.

use super::columns::{Epochs, Evaluations, Gradients};
use crate::divergence::Divergence;
use crate::run_dir::FinishedRun;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use stompp_train::{MetricRecord, RunConfig, RunRecord, RunResult, SavedRun, Warning};

/// A run without its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchivedRun {
    /// Without the path of the images.
    pub(super) config: RunConfig,
    run: RunRecord,
    pub(super) outcome: ArchivedOutcome,
    epochs: Epochs,
    evaluations: Evaluations,
    gradients: Gradients,
}

/// What became of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum ArchivedOutcome {
    /// As in [`RunResult`], without what is elsewhere in the file.
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
    /// Top-1 accuracy on the training batches while learning, in percent.
    pub train_top1: f64,
}

impl EpochPoint {
    /// The epochs among `metrics`.
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
    /// The diagnostics steps among `metrics`.
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
    /// Accuracy in percent, if the run is finished.
    pub(super) fn top1(&self) -> Option<f64> {
        match self {
            Self::Finished { top1, .. } => Some(*top1),
            Self::Diverged(_) => None,
        }
    }
}

impl ArchivedRun {
    /// The run in the directory `dir`, which is finished or has diverged.
    ///
    /// # Errors
    /// If it is neither, or a file cannot be read.
    pub(super) fn from_directory(dir: &Path, diverged: Option<&Divergence>) -> Result<Self> {
        let SavedRun { mut config, record, .. } = SavedRun::open(dir)?;
        (config.data.path, config.data.labels) = (None, None);
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
    /// If it cannot be read or is damaged, naming it.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let run: Self = serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
        if let Err(problem) = run
            .epochs
            .check()
            .and_then(|()| run.evaluations.check())
            .and_then(|()| run.gradients.check())
        {
            bail!("{} is damaged: {problem}", path.display());
        }
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

    /// Where it diverged, if it did.
    pub(crate) fn divergence(&self) -> Option<&Divergence> {
        match &self.outcome {
            ArchivedOutcome::Finished { .. } => None,
            ArchivedOutcome::Diverged(divergence) => Some(divergence),
        }
    }

    /// Its gradients at each diagnostics step.
    pub(crate) fn gradients(&self) -> Vec<GradientPoint> {
        self.gradients.points()
    }

    /// Its epochs.
    pub(crate) fn epochs(&self) -> Vec<EpochPoint> {
        self.epochs.points()
    }
}
