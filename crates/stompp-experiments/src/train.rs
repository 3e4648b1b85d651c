//! Training one run of a sweep, with checkpoints. An interrupted run resumes.

use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};
use stompp_train::config::Time;
use stompp_train::{Callback, Checkpointing, RunConfig, Session, Start, TrainError};

/// A function that trains one run in a directory, or resumes it there: [`trainer`], or a function of your own.
pub type TrainFn<'a> = &'a (dyn Fn(&RunConfig, &Path, &mut [&mut dyn Callback]) -> Result<(), TrainError> + Sync);

/// Returns the standard [`TrainFn`]. It writes checkpoints, and diagnostics after each fiftieth of the training. It resumes an interrupted
/// run at its last checkpoint, and stops when `stop` is set.
pub fn trainer(
    stop: Arc<AtomicBool>,
) -> impl Fn(&RunConfig, &Path, &mut [&mut dyn Callback]) -> Result<(), TrainError> + Sync {
    move |config, dir, callbacks| {
        let session = Session {
            start: Start::Resume,
            checkpoints: Some(Checkpointing::default()),
            diagnostics: Some(Time::Share(2.0)),
            stop: Arc::clone(&stop),
            ..Session::default()
        };
        session.train(config, dir, callbacks).map(drop)
    }
}
