//! TensorBoard events: the numbers of `metrics.jsonl` for TensorBoard.

use crate::{
    DiagnosticsReport, Evaluation, TrainError,
    callback::{Callback, EpochReport, RestoreReport, RunStart},
    files,
};
use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};
use stompp_tensorboard::{EventFile, Histogram};

/// Writes the events of one run.
#[derive(Debug)]
pub(crate) struct EventWriter {
    path: PathBuf,
    /// `None` until the run starts.
    file: Option<EventFile>,
    /// Whether the evaluation at the step of the restored checkpoint will be repeated. Its events are then removed.
    evaluation_is_due: bool,
}

/// The tag that is written first for an evaluation.
const FIRST_OF_EVALUATION: &str = "loss/train";

impl EventWriter {
    /// A writer for the run directory `run`. It creates or resumes the file when the run starts.
    pub(crate) fn new(run: &Path) -> Self {
        Self {
            path: run.join(files::EVENTS),
            file: None,
            evaluation_is_due: false,
        }
    }

    /// Sets whether the evaluation at the step of the restored checkpoint will be repeated.
    pub(crate) fn expect_evaluation(&mut self, is_due: bool) {
        self.evaluation_is_due = is_due;
    }

    /// Opens the file and removes the events of steps after `step`.
    fn resume(&mut self, step: u64) -> Result<(), TrainError> {
        let file = match self.evaluation_is_due {
            true => EventFile::resume_before(&self.path, step, FIRST_OF_EVALUATION, now()),
            false => EventFile::resume(&self.path, step, now()),
        };
        self.file = Some(file.map_err(|source| files::io_error("write", &self.path, source))?);
        Ok(())
    }

    fn write(&mut self, what: impl FnOnce(&mut EventFile) -> io::Result<()>) -> Result<(), TrainError> {
        match &mut self.file {
            Some(file) => what(file).map_err(|source| files::io_error("write", &self.path, source)),
            None => Ok(()),
        }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

impl Callback for EventWriter {
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        self.resume(start.step)
    }

    fn on_epoch(&mut self, epoch: &EpochReport) -> Result<(), TrainError> {
        let numbers = [
            ("loss/train, epoch", epoch.train_loss),
            ("top-1/train", epoch.train_top1),
            ("speed/images per s", epoch.images_per_s),
            ("freezing/committed units", epoch.committed_units as f64),
            ("freezing/frozen fraction", epoch.frozen_fraction),
        ];
        self.write(|file| file.scalars(epoch.step, now(), &numbers))
    }

    fn on_diagnostics(&mut self, diagnostics: &DiagnosticsReport) -> Result<(), TrainError> {
        let (step, time) = (diagnostics.step, now());
        self.write(|file| {
            let ends = [
                ("gradient norm/stem", diagnostics.stem_gradient_norm),
                ("gradient norm/head", diagnostics.head_gradient_norm),
            ];
            file.scalars(step, time, &ends)?;
            for unit in &diagnostics.units {
                let named = |group: &str| format!("{group}/{}", unit.name);
                let tags = [
                    (named("gradient norm"), Some(unit.gradient_norm)),
                    (named("frozen weights"), Some(unit.weight_frozen)),
                    (named("target"), Some(unit.target)),
                    (named("frozen activations"), unit.activation_frozen),
                    (named("weight mask flips"), Some(unit.weight_mask_flips)),
                    (named("sign flips"), unit.sign_flips),
                    (named("weights inside"), Some(unit.weights_inside)),
                    (named("activations inside"), unit.activations_inside),
                ];
                let known = tags.iter().filter_map(|(tag, number)| Some((tag.as_str(), (*number)?)));
                file.scalars(step, time, &known.collect::<Vec<_>>())?;
                let histogram = Histogram::from_bins(-1.0, 1.0, &unit.histogram);
                file.histogram(step, time, &named("latent weights"), &histogram)?;
            }
            Ok(())
        })
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        let numbers = [
            (FIRST_OF_EVALUATION, evaluation.train_loss),
            ("loss/test, deployed", evaluation.test_loss),
            ("top-1/test, deployed", evaluation.top1),
            ("top-1/test, as it stands", evaluation.top1_as_it_stands),
        ];
        self.write(|file| file.scalars(evaluation.step, now(), &numbers))
    }

    fn on_restore(&mut self, restored: &RestoreReport) -> Result<(), TrainError> {
        self.resume(restored.step)?;
        let rate = [("learning rate", f64::from(restored.learning_rate))];
        self.write(|file| file.scalars(restored.step, now(), &rate))
    }
}
