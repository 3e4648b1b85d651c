//! How one run of a sweep is trained: with checkpoints, and from where it was interrupted.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};
use stompp_train::config::Time;
use stompp_train::{Callback, Checkpointing, RunConfig, Session, Start, TrainError};

/// Trains one run in a directory, from its beginning or from where it was interrupted: [`trainer`], or a function of your own.
pub type TrainFn<'a> = &'a (dyn Fn(&RunConfig, &Path, &mut [&mut dyn Callback]) -> Result<(), TrainError> + Sync);

/// Trains with checkpoints and with diagnostics after each fiftieth of the training, until `stop` is set. A run that was interrupted
/// continues at its last checkpoint.
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

/// The error of a sweep that was stopped. Each of its runs has a checkpoint.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped; the same command goes on from there")
    }
}

impl std::error::Error for Stopped {}
