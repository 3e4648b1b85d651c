//! The training loop of a run.

use super::{callbacks::Callbacks, setup::Run, stop::StopRequest};
use crate::{
    RunResult, Session, TrainError,
    callback::{Callback, RunStart, StepReport},
    checkpoint::CheckpointManager,
    device_data::{BatchIter, DeviceDataset},
    diagnostics::WeightSigns,
    events::EventWriter,
    files,
    freezing::FrozenCounts,
    images::changed_files,
    metrics::MetricsWriter,
    network_file,
    processes::{StepMessage, gather},
    run_dir::RunDir,
    step::{LapTimer, StepResult},
};
use std::path::Path;

impl<D: DeviceDataset> Run<D> {
    /// Trains the network and writes the files of the run to `out`.
    pub(super) fn execute(
        mut self,
        session: &Session,
        out: &Path,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<RunResult, TrainError> {
        self.processes
            .check_equal(&self.config, &self.record, self.trainer.network.graph())?;
        // Only the first of several processes has the run directory, writes checkpoints and calls callbacks.
        let is_first = self.processes.is_first();
        let manager = |rules| CheckpointManager::new(out, rules, &self.timeline);
        let rules = session.checkpoints.as_ref().filter(|_| is_first);
        let mut manager = rules.map(manager).transpose()?;
        let dir = is_first
            .then(|| RunDir::open(out, session.start, &self.config))
            .transpose()?;
        let result = dir.as_ref().map_or(Ok(None), RunDir::result)?;
        if let Some(result) = self.processes.broadcast(result)? {
            return Ok(result);
        }
        self.open_run_files(dir.as_ref(), session)?;
        let writers = |dir: &RunDir| -> Result<_, TrainError> {
            Ok((MetricsWriter::open(dir.path())?, EventWriter::new(dir.path())))
        };
        let mut callbacks = Callbacks {
            writers: dir.as_ref().map(writers).transpose()?,
            others: if is_first { callbacks } else { &mut [] },
        };
        if session.diagnostics.is_some() {
            self.trainer.signs = Some(WeightSigns::from_network(&mut self.trainer.network));
        }
        self.resume_or_start(session, manager.as_mut(), &mut callbacks)?;
        while let Err(error) = self.fit_and_finish(session, manager.as_mut(), &mut callbacks) {
            self.recover_from_divergence(error, session, manager.as_mut(), &mut callbacks)?;
        }
        let reestimated = self.reestimated_network()?;
        if let Some(dir) = &dir {
            let network = reestimated.as_ref().unwrap_or(&self.trainer.network);
            dir.write(files::NETWORK, &network_file::to_bytes(network))?;
        }
        self.train_state.add_bad_images(self.images.bad_images());
        let bad = &self.train_state.bad_images;
        if !bad.is_empty() {
            callbacks.notify(|callback| callback.on_bad_images(bad))?;
        }
        if let Some(note) = changed_files("while the run went on", &self.images.changed_files()) {
            callbacks.notify(|callback| callback.on_notes(std::slice::from_ref(&note)))?;
        }
        let result = self.result();
        for warning in &result.warnings {
            callbacks.notify(|callback| callback.on_warning(warning))?;
        }
        callbacks.notify(|callback| callback.on_end(&result))?;
        if let Some(dir) = &dir {
            dir.write_result(&result)?;
        }
        // The files are complete before any process ends.
        self.processes.collective().barrier()?;
        Ok(result)
    }

    /// As [`Run::fit`], and waits for the last checkpoint.
    fn fit_and_finish(
        &mut self,
        session: &Session,
        mut manager: Option<&mut CheckpointManager>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let result = self.fit(session, manager.as_deref_mut(), callbacks);
        let written = manager.map_or(Ok(()), CheckpointManager::finish);
        match result {
            // A run has stopped only if it can resume, and it returns to a checkpoint only if checkpoints can be written.
            Ok(()) | Err(TrainError::Stopped { .. } | TrainError::NonFinite { .. }) => written.and(result),
            // What ended the training comes first.
            Err(error) => Err(error),
        }
    }

    /// Writes the files that describe the run, or compares the run with the existing files. `dir` is absent in all processes but the
    /// first.
    fn open_run_files(&mut self, dir: Option<&RunDir>, session: &Session) -> Result<(), TrainError> {
        let record = match dir {
            Some(dir) => {
                let (record, changes) = dir.persist_record(&self.record, session.reindex)?;
                self.changes.extend(changes);
                record
            }
            None => self.record.clone(),
        };
        self.record = self.processes.broadcast(record)?;
        self.timeline.first_batch = self.record.parent.as_ref().map_or(0, |parent| parent.first_batch);
        let Some(dir) = dir else { return Ok(()) };
        if let Some(names) = &self.images.class_names {
            dir.write_classes(names)?;
        }
        self.changes.extend(dir.persist_config(&self.config)?);
        dir.write(files::MODEL, self.trainer.network.graph().to_toml().as_bytes())?;
        dir.write(files::SUMMARY, format!("{}\n", self.summary).as_bytes())?;
        if let Some(index) = self.images.index.take() {
            dir.write(files::INDEX, &index)?;
        }
        Ok(())
    }

    /// Resumes from the last checkpoint, or writes a checkpoint of the initial state. Then calls [`Callback::on_start`].
    fn resume_or_start(
        &mut self,
        session: &Session,
        mut manager: Option<&mut CheckpointManager>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let resumes = session.checkpoints.is_some();
        if !(resumes && self.restore_last(manager.as_deref_mut(), callbacks)?) {
            callbacks.truncate_metrics(0)?;
            if let Some(manager) = manager {
                self.checkpoint_if_due(true, manager, callbacks)?;
                // A run that has begun can resume.
                manager.finish()?;
            }
        }
        let start = RunStart {
            step: self.train_state.step,
            revision: self.record.code.revision.clone(),
            train_images: self.images.train.len(),
            test_images: self.images.test.len(),
            batch_size: self.config.training.batch_size,
            steps_per_epoch: self.timeline.steps_per_epoch,
            steps: self.timeline.steps,
            units: FrozenCounts::count(&mut self.trainer.network).units,
            changes: self.changes.clone(),
        };
        callbacks.notify(|callback| callback.on_start(&start))?;
        let notes = &self.images.notes;
        if !notes.is_empty() {
            callbacks.notify(|callback| callback.on_notes(notes))?;
        }
        match &self.record.init {
            Some(init) if self.train_state.step == 0 => callbacks.notify(|callback| callback.on_init(init)),
            _ => Ok(()),
        }
    }

    /// Trains from the current step to the last.
    fn fit(
        &mut self,
        session: &Session,
        mut manager: Option<&mut CheckpointManager>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let (steps_per_epoch, steps) = (self.timeline.steps_per_epoch, self.timeline.steps);
        let diagnostics_every = session
            .diagnostics
            .filter(|_| self.processes.is_first())
            .map(|time| time.steps(steps_per_epoch, steps).max(1));
        if diagnostics_every.is_none() {
            self.trainer.signs = None;
        }
        // The run may have been interrupted before or during an evaluation.
        self.evaluate_if_due(manager.as_deref_mut(), callbacks)?;
        let start = self.timeline.position(self.train_state.step);
        let mut batches = self.train.training_batches(&self.config, &self.normalization, start)?;
        let mut clock = LapTimer::start();
        while self.train_state.step < steps {
            let result = self.step(&mut batches, diagnostics_every.is_some())?;
            let done = self.train_state.step;
            let epochs = done as f64 / steps_per_epoch as f64;
            let frozen = FrozenCounts::count(&mut self.trainer.network);
            callbacks.notify(|callback| {
                callback.on_step(&StepReport {
                    step: done,
                    loss: result.loss,
                    correct: result.correct,
                    committed_units: frozen.committed_units,
                })
            })?;
            if done.is_multiple_of(steps_per_epoch) || done == steps {
                let report = std::mem::take(&mut self.train_state.epoch).report(done, epochs, frozen);
                callbacks.notify(|callback| callback.on_epoch(&report))?;
            }
            if diagnostics_every.is_some_and(|every| done.is_multiple_of(every) || done == steps) {
                let report = self.diagnose(done)?;
                callbacks.notify(|callback| callback.on_diagnostics(&report))?;
            }
            if done == steps {
                self.trainer.set_freeze_states(done, steps)?;
            }
            self.train_state.seconds += clock.lap();
            // An evaluation may take long, so the state is copied for the checkpoint before it.
            let stopped = self.check_stop();
            if let Some(manager) = &mut manager {
                self.checkpoint_if_due(stopped.is_err() || done == steps, manager, callbacks)?;
            }
            stopped?;
            self.evaluate_if_due(manager.as_deref_mut(), callbacks)?;
            self.train_state.seconds += clock.lap();
            if self.stop.should_stop_after_step() && done < steps {
                if let Some(manager) = &mut manager {
                    self.checkpoint_if_due(true, manager, callbacks)?;
                }
                return Err(TrainError::Stopped { step: done });
            }
        }
        Ok(())
    }

    /// Reads the next batch and does one optimizer step on it.
    fn step(&mut self, batches: &mut BatchIter<D>, diagnostics: bool) -> Result<StepResult, TrainError> {
        let mut clock = LapTimer::start();
        let batch = batches.next().expect("training batches have no end")?;
        let waited = clock.lap();
        let images = self.trainer.network.reduction().whole_batch(batch.labels.len());
        let mut result = self.trainer.step(self.train_state.step, batch)?;
        result.seconds.data = waited;
        result.share.seconds += waited;
        self.agree(&mut result)?;
        self.train_state.add(&result, images);
        if diagnostics {
            let accumulator = &mut self.train_state.since_diagnostics;
            accumulator.add(&mut self.trainer.network, &result.norms, result.freezing.as_ref());
        }
        Ok(result)
    }

    /// Adds what the other processes counted in a step, and agrees with them whether to stop.
    fn agree(&mut self, result: &mut StepResult) -> Result<(), TrainError> {
        if !self.processes.are_many() {
            return Ok(());
        }
        let own = StepMessage {
            correct: result.correct,
            stop: self.stop.request(),
            share: result.share,
        };
        let all = gather(self.processes.collective(), &own)?;
        self.stop.agree(StopRequest {
            now: all.iter().any(|message| message.stop.now),
            after_step: all.iter().any(|message| message.stop.after_step),
        });
        result.correct = all.iter().map(|message| message.correct).sum();
        result.processes = all.iter().map(|message| message.share).collect();
        Ok(())
    }

    /// Evaluates the network if an evaluation is due, and writes a checkpoint if it is the best so far. Removes old checkpoints.
    ///
    /// # Errors
    /// Returns [`TrainError::Stopped`] if the run is told to stop during the evaluation. A checkpoint is then written, and the evaluation
    /// is repeated when the run resumes.
    fn evaluate_if_due(
        &mut self,
        manager: Option<&mut CheckpointManager>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        if !self.evaluation_is_due() {
            return manager.map_or(Ok(()), CheckpointManager::prune);
        }
        match self.evaluate() {
            Ok(evaluation) => {
                callbacks.notify(|callback| callback.on_evaluation(&evaluation))?;
                self.train_state.since_evaluation = Default::default();
                self.train_state.evaluations.push(evaluation);
                self.checkpoint_after_evaluation(manager, callbacks)
            }
            Err(stopped @ TrainError::Stopped { .. }) => {
                if let Some(manager) = manager {
                    self.checkpoint_if_due(true, manager, callbacks)?;
                }
                Err(stopped)
            }
            Err(error) => Err(error),
        }
    }
}
