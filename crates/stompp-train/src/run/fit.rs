//! A run from its first step to its last.

use super::{callbacks::Callbacks, setup::Run};
use crate::{
    RunResult, Session, TrainError,
    callback::{Callback, RunStart, StepReport},
    checkpoint::Keeper,
    config::Timeline,
    diagnostics::Signs,
    events::Events,
    feed::Holder,
    files,
    freezing::Frozen,
    metrics::Metrics,
    network_file,
    run_dir::RunDir,
    step::{Clock, Outcome},
};
use std::{path::Path, sync::atomic::Ordering};

impl<D: Holder> Run<D> {
    /// Trains the network and keeps everything about it in `out`.
    pub(super) fn execute(
        mut self,
        session: &Session,
        out: &Path,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<RunResult, TrainError> {
        let keeper = |rules| Keeper::new(out, rules, &self.timeline);
        let mut keeper = session.checkpoints.as_ref().map(keeper).transpose()?;
        let dir = RunDir::open(out, session.start, &self.config)?;
        if let Some(result) = dir.result()? {
            return Ok(result);
        }
        dir.write_record(&self.record)?;
        dir.write(files::SUMMARY, format!("{}\n", self.summary).as_bytes())?;
        if let Some(names) = &self.images.class_names {
            dir.write_classes(names)?;
        }
        if let Some(index) = self.images.index.take() {
            dir.write(files::INDEX, &index)?;
        }
        let mut callbacks = Callbacks {
            metrics: Metrics::open(dir.path())?,
            events: Events::of_run(dir.path()),
            others: callbacks,
        };
        if session.diagnostics.is_some() {
            self.learner.signs = Some(Signs::of(&mut self.learner.network));
        }
        self.begin(keeper.as_mut(), &mut callbacks)?;
        while let Err(error) = self.fit(session, keeper.as_mut(), &mut callbacks) {
            self.recover(error, session.on_divergence, keeper.as_mut(), &mut callbacks)?;
        }
        let network = match self.reestimated()? {
            Some(mut network) => network_file::to_bytes(&mut network),
            None => network_file::to_bytes(&mut self.learner.network),
        };
        dir.write(files::NETWORK, &network)?;
        self.course.note_bad_images(self.images.bad_images());
        let bad = &self.course.bad_images;
        if !bad.is_empty() {
            callbacks.tell(|callback| callback.on_bad_images(bad))?;
        }
        let result = self.result();
        callbacks.tell(|callback| callback.on_end(&result))?;
        dir.write_result(&result)?;
        Ok(result)
    }

    /// Takes up the last checkpoint, or makes one of the beginning, and tells where the run stands.
    fn begin(&mut self, keeper: Option<&mut Keeper>, callbacks: &mut Callbacks<'_, '_>) -> Result<(), TrainError> {
        match keeper {
            Some(keeper) => {
                if !self.go_back(keeper, callbacks)? {
                    callbacks.metrics.go_back_to(0)?;
                    self.keep(true, keeper, callbacks)?;
                }
            }
            None => callbacks.metrics.go_back_to(0)?,
        }
        let start = RunStart {
            step: self.course.step,
            revision: self.record.code.revision.clone(),
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            batch_size: self.config.training.batch_size,
            steps_per_epoch: self.timeline.steps_per_epoch,
            steps: self.timeline.steps,
            units: Frozen::of(&mut self.learner.network).units,
        };
        callbacks.tell(|callback| callback.on_start(&start))
    }

    /// The loop, from where the run stands to its end.
    fn fit(
        &mut self,
        session: &Session,
        mut keeper: Option<&mut Keeper>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let Timeline {
            steps_per_epoch,
            steps,
            evaluate_every,
        } = self.timeline;
        let look_every = session
            .diagnostics
            .map(|time| time.steps(steps_per_epoch, steps).max(1));
        if look_every.is_none() {
            self.learner.signs = None;
        }
        let start = self.timeline.position(self.course.step);
        let mut batches = self.train.training(&self.config, &self.normalization, start)?;
        let mut on_the_clock = Clock::start();
        while self.course.step < steps {
            let mut clock = Clock::start();
            let batch = batches.next().expect("training batches have no end")?;
            let waited = clock.lap();
            let images = batch.labels.len();
            let mut outcome = self.learner.step(self.course.step, batch)?;
            outcome.seconds.data = waited;
            self.course.add(&outcome, images);
            if look_every.is_some() {
                let Outcome { norms, freezing, .. } = &outcome;
                let since = &mut self.course.since_diagnostics;
                since.add(&mut self.learner.network, norms, freezing.as_ref());
            }

            let done = self.course.step;
            let epochs = done as f64 / steps_per_epoch as f64;
            let frozen = Frozen::of(&mut self.learner.network);
            callbacks.tell(|callback| {
                callback.on_step(&StepReport {
                    step: done,
                    loss: outcome.loss,
                    correct: outcome.correct,
                    committed_units: frozen.committed_units,
                })
            })?;
            if done.is_multiple_of(steps_per_epoch) || done == steps {
                let report = std::mem::take(&mut self.course.epoch).report(done, epochs, frozen);
                callbacks.tell(|callback| callback.on_epoch(&report))?;
            }
            if look_every.is_some_and(|every| done.is_multiple_of(every) || done == steps) {
                let report = self.look(done)?;
                callbacks.tell(|callback| callback.on_diagnostics(&report))?;
            }
            if done == steps {
                self.learner.enter(done, steps);
            }
            if done.is_multiple_of(evaluate_every) || done == steps {
                let train_loss = std::mem::take(&mut self.course.since_evaluation).mean_loss();
                let evaluation = self.evaluate(done, epochs, train_loss)?;
                callbacks.tell(|callback| callback.on_evaluation(&evaluation))?;
                self.course.evaluations.push(evaluation);
            }
            self.course.seconds += on_the_clock.lap();

            let stopped = session.stop.load(Ordering::Relaxed) && done < steps;
            if let Some(keeper) = &mut keeper {
                self.keep(stopped || done == steps, keeper, callbacks)?;
            }
            if stopped {
                return Err(TrainError::Stopped { step: done });
            }
        }
        Ok(())
    }
}
