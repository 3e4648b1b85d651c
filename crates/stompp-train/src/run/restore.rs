//! Writes the checkpoints of a run when they are due, and restores them.

use super::{callbacks::Callbacks, setup::Run};
use crate::{
    OnDivergence, Session, TrainError,
    callback::RestoreReport,
    checkpoint::{self, CheckpointManager, Header, NETWORK},
    device_data::DeviceDataset,
    optimizer::AnyOptimizer,
};

impl<D: DeviceDataset> Run<D> {
    /// Starts to write a checkpoint if one is due, or if `now` is set. Call it before the evaluation of the step.
    pub(super) fn checkpoint_if_due(
        &mut self,
        now: bool,
        manager: &mut CheckpointManager,
        callbacks: &Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let Some(due) = manager.due(now, &self.train_state) else {
            return Ok(());
        };
        let header = self.header(callbacks)?;
        manager.save(due, &header, &mut self.trainer)
    }

    /// Writes a checkpoint if the last evaluation is the best, and removes old checkpoints. Call it only after an evaluation: if an
    /// evaluation finds a divergence, the old checkpoints are still needed.
    pub(super) fn checkpoint_after_evaluation(
        &mut self,
        manager: Option<&mut CheckpointManager>,
        callbacks: &Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let Some(manager) = manager else { return Ok(()) };
        if self.train_state.is_best() {
            let header = self.header(callbacks)?;
            manager.save_best(&header, &mut self.trainer)?;
        }
        manager.prune()
    }

    fn header(&mut self, callbacks: &Callbacks<'_, '_>) -> Result<Header, TrainError> {
        self.train_state.add_bad_images(self.images.bad_images());
        Ok(Header {
            learning_rate: self.trainer.learning_rate,
            halved: self.halved,
            metrics_len: callbacks.metrics_len()?,
            ..Header::new(&self.config, &self.train_state, &self.timeline)
        })
    }

    /// Restores the state of the last checkpoint, which the first process reads for all. Returns `false` if there is none.
    pub(super) fn restore_last(
        &mut self,
        mut manager: Option<&mut CheckpointManager>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<bool, TrainError> {
        let path = manager.as_mut().map_or(Ok(None), |manager| manager.newest())?;
        if !self.processes.broadcast(path.is_some())? {
            return Ok(false);
        }
        let file = match &path {
            Some(path) => checkpoint::read(path, &self.trainer)?,
            None => Vec::new(),
        };
        let file = self.processes.collective().broadcast(file)?;
        self.trainer.optimizer = AnyOptimizer::new(&self.config);
        let path = path.unwrap_or_else(|| "the checkpoint of process 0".into());
        let header = checkpoint::load(&path, &file, &self.config, &self.timeline, &mut self.trainer)?;
        callbacks.truncate_metrics(header.metrics_len)?;
        self.trainer.learning_rate = header.learning_rate;
        self.halved = header.halved;
        if let Some(manager) = manager {
            manager.resume_from(&header);
        }
        self.train_state = header.train_state;
        callbacks.expect_evaluation(self.evaluation_is_due());
        Ok(true)
    }

    /// After a divergence, returns to the last checkpoint with half the learning rate, if the session allows it and the rate was not
    /// halved before. All processes find the same divergence, except one of the network, which only a checkpoint finds.
    ///
    /// # Errors
    /// Returns `error` if it is not a divergence or the run does not return to a checkpoint.
    pub(super) fn recover_from_divergence(
        &mut self,
        mut error: TrainError,
        session: &Session,
        mut manager: Option<&mut CheckpointManager>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let divergence = error.to_string();
        let (TrainError::NonFinite { last_good, what, .. }, true) = (&mut error, session.checkpoints.is_some()) else {
            return Err(error);
        };
        if self.processes.are_many() && *what == NETWORK {
            // Only the process that writes checkpoints looks at the whole network. The others have gone on.
            return Err(error);
        }
        if let Some(manager) = &mut manager
            && self.evaluation_is_due()
        {
            // An evaluation found the divergence, so the checkpoint that was written before it is bad.
            manager.remove(self.train_state.step)?;
        }
        let stops = session.on_divergence == OnDivergence::Stop || self.halved;
        if stops || !self.restore_last(manager.as_deref_mut(), callbacks)? {
            *last_good = manager.map_or(Ok(None), CheckpointManager::newest)?;
            return Err(error);
        }
        let learning_rate = self.trainer.learning_rate / 2.0;
        self.trainer.learning_rate = learning_rate;
        self.halved = true;
        let step = self.train_state.step;
        callbacks.notify(|callback| {
            callback.on_restore(&RestoreReport {
                step,
                divergence: divergence.clone(),
                learning_rate,
            })
        })?;
        manager.map_or(Ok(()), |manager| self.checkpoint_if_due(true, manager, callbacks))
    }
}
