//! The callbacks of a run: the built-in writers and those of the caller.

use crate::{TrainError, callback::Callback, events::EventWriter, metrics::MetricsWriter};

/// The callbacks of a run. Only the first of several processes has any.
pub(super) struct Callbacks<'a, 'b> {
    /// Called first.
    pub(super) writers: Option<(MetricsWriter, EventWriter)>,
    pub(super) others: &'a mut [&'b mut dyn Callback],
}

impl Callbacks<'_, '_> {
    /// Calls `what` with each callback, up to the first error.
    pub(super) fn notify(
        &mut self,
        mut what: impl FnMut(&mut dyn Callback) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        if let Some((metrics, events)) = &mut self.writers {
            what(metrics)?;
            what(events)?;
        }
        self.others.iter_mut().try_for_each(|callback| what(*callback))
    }

    /// Length of the metrics file in bytes.
    pub(super) fn metrics_len(&self) -> Result<u64, TrainError> {
        self.writers.as_ref().map_or(Ok(0), |(metrics, _)| metrics.len())
    }

    /// Removes the metrics after the first `len` bytes.
    pub(super) fn truncate_metrics(&mut self, len: u64) -> Result<(), TrainError> {
        self.writers
            .as_mut()
            .map_or(Ok(()), |(metrics, _)| metrics.truncate(len))
    }

    /// Prepares the TensorBoard events for a resumed run.
    pub(super) fn expect_evaluation(&mut self, is_due: bool) {
        if let Some((_, events)) = &mut self.writers {
            events.expect_evaluation(is_due);
        }
    }
}
