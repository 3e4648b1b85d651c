//! The callbacks of a run: the built-in writers and those of the caller.

use crate::{TrainError, callback::Callback, events::EventWriter, metrics::MetricsWriter};

/// The callbacks of a run.
pub(super) struct Callbacks<'a, 'b> {
    /// Called first.
    pub(super) metrics: MetricsWriter,
    pub(super) events: EventWriter,
    pub(super) others: &'a mut [&'b mut dyn Callback],
}

impl Callbacks<'_, '_> {
    /// Calls `what` with each callback, up to the first error.
    pub(super) fn notify(
        &mut self,
        mut what: impl FnMut(&mut dyn Callback) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        what(&mut self.metrics)?;
        what(&mut self.events)?;
        self.others.iter_mut().try_for_each(|callback| what(*callback))
    }
}
