//! What a run finds out about its network: evaluations, diagnostics, the result.

use super::setup::Run;
use crate::{
    DiagnosticsReport, Evaluation, RunResult, TrainError, course::Course, deploy, diagnostics::Look, divergence,
    evaluate::evaluate, feed::Holder, freezing::Frozen, step::Learner,
};
use stompp_binarize::View;
use stompp_data::Position;
use stompp_resnet::ResNet;

impl<D: Holder> Run<D> {
    /// Scores the deploy network, and the network as it stands where that is another one.
    pub(super) fn evaluate(&mut self, step: u64, epoch: f64, train_loss: f64) -> Result<Evaluation, TrainError> {
        let reestimated = self.reestimated()?;
        let network = &mut self.learner.network;
        let frozen = Frozen::of(network);
        let view = self.config.method.name.deployed();
        let score = |network: &_, view| evaluate(network, &self.test, &self.normalization, view);
        let deployed = score(reestimated.as_ref().unwrap_or(network), view)?;
        if !deployed.loss.is_finite() {
            return Err(TrainError::NonFinite {
                what: "test loss",
                step,
                value: deployed.loss,
                layer: divergence::of_loss(network),
                last_good: None,
            });
        }
        let same = reestimated.is_none() && (view == View::AsItStands || frozen.everything);
        let as_it_stands = if same {
            deployed
        } else {
            score(network, View::AsItStands)?
        };
        Ok(Evaluation {
            step,
            epoch,
            train_loss,
            test_loss: deployed.loss,
            top1: deployed.top1,
            top1_as_it_stands: as_it_stands.top1,
            committed_units: frozen.committed_units,
            committed_fraction: frozen.committed_fraction(),
            frozen_fraction: frozen.frozen_fraction,
        })
    }

    /// The deploy network with statistics of its own, where the configuration wants them.
    pub(super) fn reestimated(&self) -> Result<Option<ResNet<D>>, TrainError> {
        let count = self.config.training.bn_reestimate;
        if count == 0 {
            return Ok(None);
        }
        // Always the same batches: the first ones of the training.
        let first = Position::default();
        let batches = self.train.training(&self.config, &self.normalization, first)?;
        let view = self.config.method.name.deployed();
        deploy::reestimated(&self.learner.network, view, batches.take(count)).map(Some)
    }

    /// Looks at each unit.
    pub(super) fn look(&mut self, step: u64) -> Result<DiagnosticsReport, TrainError> {
        let Learner {
            device,
            network,
            freezing,
            signs,
            ..
        } = &mut self.learner;
        let look = Look {
            device,
            freezing,
            test: &self.images.test,
            normalization: &self.normalization,
            steps_per_epoch: self.timeline.steps_per_epoch,
        };
        look.report(step, network, &mut self.course.since_diagnostics, signs)
    }

    pub(super) fn result(&mut self) -> RunResult {
        let Course {
            whole,
            evaluations,
            seconds,
            ..
        } = &self.course;
        let last = evaluations.last().expect("the last step is evaluated");
        RunResult {
            top1: last.top1,
            top1_as_it_stands: last.top1_as_it_stands,
            test_loss: last.test_loss,
            steps: self.timeline.steps,
            steps_per_epoch: self.timeline.steps_per_epoch,
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            units: Frozen::of(&mut self.learner.network).units,
            seconds: *seconds,
            images_per_s: whole.images_per_s(),
            evaluations: evaluations.clone(),
        }
    }
}
