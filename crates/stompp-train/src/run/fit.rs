//! A run from its first step to its last.

use super::{callbacks::Callbacks, setup::Run};
use crate::{
    RunResult, Session, TrainError,
    callback::{Callback, RunStart, StepReport},
    checkpoint::Keeper,
    diagnostics::Signs,
    events::Events,
    feed::{Feed, Holder},
    files,
    freezing::Frozen,
    images::changed_files,
    metrics::Metrics,
    network_file,
    run_dir::RunDir,
    step::{Clock, Outcome},
};
use std::path::Path;

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
        self.claim(&dir, session)?;
        let mut callbacks = Callbacks {
            metrics: Metrics::open(dir.path())?,
            events: Events::of_run(dir.path()),
            others: callbacks,
        };
        if session.diagnostics.is_some() {
            self.trainer.signs = Some(Signs::of(&mut self.trainer.network));
        }
        self.begin(keeper.as_mut(), &mut callbacks)?;
        while let Err(error) = self.fit(session, keeper.as_mut(), &mut callbacks) {
            self.recover(error, session.on_divergence, keeper.as_mut(), &mut callbacks)?;
        }
        let network = match self.reestimated()? {
            Some(network) => network_file::to_bytes(&network),
            None => network_file::to_bytes(&self.trainer.network),
        };
        dir.write(files::NETWORK, &network)?;
        self.course.note_bad_images(self.images.bad_images());
        let bad = &self.course.bad_images;
        if !bad.is_empty() {
            callbacks.tell(|callback| callback.on_bad_images(bad))?;
        }
        if let Some(note) = changed_files("while the run went on", &self.images.changed_files()) {
            callbacks.tell(|callback| callback.on_notes(std::slice::from_ref(&note)))?;
        }
        let result = self.result();
        for concern in &result.concerns {
            callbacks.tell(|callback| callback.on_concern(concern))?;
        }
        callbacks.tell(|callback| callback.on_end(&result))?;
        dir.write_result(&result)?;
        Ok(result)
    }

    /// Writes down what the run is, or compares it with what is written there.
    fn claim(&mut self, dir: &RunDir, session: &Session) -> Result<(), TrainError> {
        let (record, changes) = dir.settle_record(&self.record, session.reindex)?;
        self.changes.extend(changes);
        self.timeline.first_batch = record.parent.as_ref().map_or(0, |parent| parent.first_batch);
        self.record = record;
        if let Some(names) = &self.images.class_names {
            dir.write_classes(names)?;
        }
        self.changes.extend(dir.settle_config(&self.config)?);
        dir.write(files::MODEL, self.trainer.network.graph().to_toml().as_bytes())?;
        dir.write(files::SUMMARY, format!("{}\n", self.summary).as_bytes())?;
        if let Some(index) = self.images.index.take() {
            dir.write(files::INDEX, &index)?;
        }
        Ok(())
    }

    /// Resumes from the last checkpoint, or makes one of the beginning, and tells where the run stands.
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
            units: Frozen::of(&mut self.trainer.network).units,
            changes: self.changes.clone(),
        };
        callbacks.tell(|callback| callback.on_start(&start))?;
        let notes = &self.images.notes;
        if !notes.is_empty() {
            callbacks.tell(|callback| callback.on_notes(notes))?;
        }
        match &self.record.init {
            Some(init) if self.course.step == 0 => callbacks.tell(|callback| callback.on_init(init)),
            _ => Ok(()),
        }
    }

    /// The loop, from where the run stands to its end.
    fn fit(
        &mut self,
        session: &Session,
        mut keeper: Option<&mut Keeper>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let (steps_per_epoch, steps) = (self.timeline.steps_per_epoch, self.timeline.steps);
        let look_every = session
            .diagnostics
            .map(|time| time.steps(steps_per_epoch, steps).max(1));
        if look_every.is_none() {
            self.trainer.signs = None;
        }
        // An interruption may have left it to be done.
        self.evaluate_if_due(keeper.as_deref_mut(), callbacks)?;
        let start = self.timeline.position(self.course.step);
        let mut batches = self.train.training(&self.config, &self.normalization, start)?;
        let mut clock = Clock::start();
        while self.course.step < steps {
            let outcome = self.step(&mut batches, look_every.is_some())?;
            let done = self.course.step;
            let epochs = done as f64 / steps_per_epoch as f64;
            let frozen = Frozen::of(&mut self.trainer.network);
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
                self.trainer.enter(done, steps)?;
            }
            self.course.seconds += clock.lap();
            // An evaluation may take long: what came before it must not depend on it.
            let stopped = self.check_stop();
            if let Some(keeper) = &mut keeper {
                self.keep(stopped.is_err() || done == steps, keeper, callbacks)?;
            }
            stopped?;
            self.evaluate_if_due(keeper.as_deref_mut(), callbacks)?;
            self.course.seconds += clock.lap();
            if self.stop.after_step() && done < steps {
                if let Some(keeper) = &mut keeper {
                    self.keep(true, keeper, callbacks)?;
                }
                return Err(TrainError::Stopped { step: done });
            }
        }
        Ok(())
    }

    /// Takes a batch and an optimizer step on it.
    fn step(&mut self, batches: &mut Feed<D>, diagnostics: bool) -> Result<Outcome, TrainError> {
        let mut clock = Clock::start();
        let batch = batches.next().expect("training batches have no end")?;
        let waited = clock.lap();
        let images = batch.labels.len();
        let mut outcome = self.trainer.step(self.course.step, batch)?;
        outcome.seconds.data = waited;
        self.course.add(&outcome, images);
        if diagnostics {
            let since = &mut self.course.since_diagnostics;
            since.add(&mut self.trainer.network, &outcome.norms, outcome.freezing.as_ref());
        }
        Ok(outcome)
    }

    /// Makes the evaluation that is due, if one is, and keeps a checkpoint of the best.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] if the run is told to stop meanwhile: with a checkpoint from which the evaluation is made again.
    fn evaluate_if_due(
        &mut self,
        keeper: Option<&mut Keeper>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        if !self.evaluation_is_due() {
            return keeper.map_or(Ok(()), Keeper::prune);
        }
        match self.evaluate() {
            Ok(evaluation) => {
                callbacks.tell(|callback| callback.on_evaluation(&evaluation))?;
                self.course.since_evaluation = Default::default();
                self.course.evaluations.push(evaluation);
                self.settle(keeper, callbacks)
            }
            Err(stopped @ TrainError::Stopped { .. }) => {
                if let Some(keeper) = keeper {
                    self.keep(true, keeper, callbacks)?;
                }
                Err(stopped)
            }
            Err(error) => Err(error),
        }
    }
}
