//! Checkpoints of a run: written when they are due, and gone back to.

use super::{callbacks::Callbacks, setup::Run};
use crate::{
    OnDivergence, TrainError,
    callback::Restored,
    checkpoint::{self, Header, Keeper},
    feed::Holder,
    optimizer::AnyOptimizer,
};

impl<D: Holder> Run<D> {
    /// Keeps a checkpoint if one is due, in any case if `now`. Call it before the evaluation of the step.
    pub(super) fn keep(
        &mut self,
        now: bool,
        keeper: &mut Keeper,
        callbacks: &Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let Some(due) = keeper.due(now, &self.course) else {
            return Ok(());
        };
        let header = self.header(callbacks)?;
        keeper.keep(due, &header, &mut self.trainer)
    }

    /// After an evaluation: keeps a checkpoint if it was the best, and removes those that nobody keeps any more. Not before: if the
    /// evaluation had found a divergence, they would still be needed.
    pub(super) fn settle(
        &mut self,
        keeper: Option<&mut Keeper>,
        callbacks: &Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let Some(keeper) = keeper else { return Ok(()) };
        if self.course.is_best() {
            let header = self.header(callbacks)?;
            keeper.keep_best(&header, &mut self.trainer)?;
        }
        keeper.prune()
    }

    fn header(&mut self, callbacks: &Callbacks<'_, '_>) -> Result<Header, TrainError> {
        self.course.note_bad_images(self.images.bad_images());
        Ok(Header {
            learning_rate: self.trainer.learning_rate,
            halved: self.halved,
            metrics_len: callbacks.metrics.len()?,
            ..Header::new(&self.config, &self.course, &self.timeline)
        })
    }

    /// Brings everything into the state of the last checkpoint; `false` if there is none.
    pub(super) fn go_back(
        &mut self,
        keeper: &mut Keeper,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<bool, TrainError> {
        let Some(path) = keeper.newest()? else {
            return Ok(false);
        };
        self.trainer.optimizer = AnyOptimizer::new(&self.config);
        let header = checkpoint::load(&path, &self.config, &self.timeline, &mut self.trainer)?;
        callbacks.metrics.go_back_to(header.metrics_len)?;
        self.trainer.learning_rate = header.learning_rate;
        self.halved = header.halved;
        keeper.go_on_from(&header);
        self.course = header.course;
        callbacks.events.expect_evaluation(self.evaluation_is_due());
        Ok(true)
    }

    /// After a divergence: back to the last checkpoint with half the learning rate, where that is wanted and was not done before.
    pub(super) fn recover(
        &mut self,
        mut error: TrainError,
        rule: OnDivergence,
        keeper: Option<&mut Keeper>,
        callbacks: &mut Callbacks<'_, '_>,
    ) -> Result<(), TrainError> {
        let divergence = error.to_string();
        let (TrainError::NonFinite { last_good, .. }, Some(keeper)) = (&mut error, keeper) else {
            return Err(error);
        };
        if self.evaluation_is_due() {
            // Found by an evaluation: the checkpoint that was written before it is not good.
            keeper.discard(self.course.step)?;
        }
        if rule == OnDivergence::Stop || self.halved || !self.go_back(keeper, callbacks)? {
            *last_good = keeper.newest()?;
            return Err(error);
        }
        let learning_rate = self.trainer.learning_rate / 2.0;
        self.trainer.learning_rate = learning_rate;
        self.halved = true;
        let step = self.course.step;
        callbacks.tell(|callback| {
            callback.on_restore(&Restored {
                step,
                divergence: divergence.clone(),
                learning_rate,
            })
        })?;
        self.keep(true, keeper, callbacks)
    }
}
