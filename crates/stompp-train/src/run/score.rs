//! Evaluations, diagnostics and the result of a run.

use super::setup::Run;
use crate::{
    DiagnosticsReport, Evaluation, RunResult, TrainError, deploy,
    device_data::DeviceDataset,
    diagnostics::DiagnosticsProbe,
    divergence,
    evaluate::{Evaluator, Score, macs_per_image},
    freezing::FrozenCounts,
    step::RunTrainer,
    train_state::TrainState,
    warning::Warning,
};
use stompp_binarize::{EvalMode, Network};

impl<D: DeviceDataset> Run<D> {
    /// Whether an evaluation is due after the current step and has not been done yet.
    pub(super) fn evaluation_is_due(&self) -> bool {
        let step = self.train_state.step;
        let last = self.train_state.evaluations.last().map_or(0, |last| last.step);
        let scheduled = step.is_multiple_of(self.timeline.evaluate_every) || step == self.timeline.steps;
        step > last && scheduled
    }

    /// Scores the deploy network, and the network with its current masks if it differs. Changes nothing.
    ///
    /// # Errors
    /// Returns [`TrainError::Stopped`] if the run is told to stop during the evaluation, [`TrainError::NonFinite`] if the loss is not
    /// finite, [`TrainError::Data`] if an image cannot be read, and [`TrainError::Device`] if an allocation or a kernel launch fails.
    pub(super) fn evaluate(&mut self) -> Result<Evaluation, TrainError> {
        let step = self.train_state.step;
        self.processes.share_statistics(&mut self.trainer.network)?;
        let reestimated = self.reestimated_network()?;
        let frozen = FrozenCounts::count(&mut self.trainer.network);
        let mode = self.config.method.name.deployed();
        let network = reestimated.as_ref().unwrap_or(&self.trainer.network);
        let deployed = self.score(network, mode)?;
        if !deployed.loss.is_finite() {
            return Err(TrainError::NonFinite {
                what: "test loss",
                step,
                value: deployed.loss,
                layer: divergence::layer_of_loss(&self.trainer.network),
                last_good: None,
            });
        }
        let same = reestimated.is_none() && (mode == EvalMode::Current || frozen.everything);
        let as_it_stands = if same {
            deployed
        } else {
            self.score(&self.trainer.network, EvalMode::Current)?
        };
        Ok(Evaluation {
            step,
            epoch: step as f64 / self.timeline.steps_per_epoch as f64,
            train_loss: self.train_state.since_evaluation.mean_loss(),
            test_loss: deployed.loss,
            top1: deployed.top1,
            top1_as_it_stands: as_it_stands.top1,
            committed_units: frozen.committed_units,
            committed_fraction: frozen.committed_fraction(),
            frozen_fraction: frozen.frozen_fraction,
        })
    }

    fn score(&self, network: &Network<D>, mode: EvalMode) -> Result<Score, TrainError> {
        let evaluator = Evaluator {
            images: &self.test,
            normalization: &self.normalization,
            mode,
            macs_per_image: macs_per_image(&self.summary),
            processes: self.processes.collective(),
        };
        evaluator.score(network, &mut |_| self.agree_on_stop())
    }

    /// The deploy network with re-estimated statistics; `None` if the configuration does not ask for them.
    ///
    /// # Errors
    /// Returns [`TrainError::Stopped`] if the run is told to stop meanwhile, [`TrainError::Data`] if an image cannot be read, and
    /// [`TrainError::Device`] if an allocation or a kernel launch fails.
    pub(super) fn reestimated_network(&self) -> Result<Option<Network<D>>, TrainError> {
        let batches = deploy::statistics_batches(&self.config, &self.train, &self.normalization)?;
        let Some(batches) = batches else {
            return Ok(None);
        };
        let batches = batches.map(|batch| self.agree_on_stop().and(batch));
        let mode = self.config.method.name.deployed();
        let mut network = deploy::reestimate(&self.trainer.network, mode, batches)?;
        self.processes.share_statistics(&mut network)?;
        Ok(Some(network))
    }

    /// Checks whether the run was told to stop before an evaluation.
    ///
    /// # Errors
    /// Returns [`TrainError::Stopped`] if it was.
    pub(super) fn check_stop(&self) -> Result<(), TrainError> {
        self.stopped_if(self.stop.should_stop_now())
    }

    /// Checks whether any process was told to stop during an evaluation. All processes call it equally often.
    ///
    /// # Errors
    /// Returns [`TrainError::Stopped`] if one was, and [`TrainError::Processes`] if a process has ended.
    fn agree_on_stop(&self) -> Result<(), TrainError> {
        self.stopped_if(self.processes.any(self.stop.request().now)?)
    }

    fn stopped_if(&self, stopped: bool) -> Result<(), TrainError> {
        match stopped {
            true => Err(TrainError::Stopped {
                step: self.train_state.step,
            }),
            false => Ok(()),
        }
    }

    /// Builds the diagnostics report after `step` steps.
    pub(super) fn diagnose(&mut self, step: u64) -> Result<DiagnosticsReport, TrainError> {
        let RunTrainer {
            device,
            network,
            freezing,
            signs,
            ..
        } = &mut self.trainer;
        let probe = DiagnosticsProbe {
            device,
            freezing,
            test: &self.images.test,
            normalization: &self.normalization,
            steps_per_epoch: self.timeline.steps_per_epoch,
        };
        probe.report(step, network, &mut self.train_state.since_diagnostics, signs)
    }

    pub(super) fn result(&mut self) -> RunResult {
        let TrainState {
            whole,
            evaluations,
            seconds,
            ..
        } = &self.train_state;
        let last = evaluations.last().expect("the last step is evaluated");
        RunResult {
            top1: last.top1,
            top1_as_it_stands: last.top1_as_it_stands,
            test_loss: last.test_loss,
            steps: self.timeline.steps,
            steps_per_epoch: self.timeline.steps_per_epoch,
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            units: FrozenCounts::count(&mut self.trainer.network).units,
            seconds: *seconds,
            images_per_s: whole.images_per_s(),
            warnings: Warning::find_all(evaluations, self.config.data.classes(), self.images.test.len()),
            evaluations: evaluations.clone(),
        }
    }
}
