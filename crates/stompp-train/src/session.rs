//! Settings of a run that do not change its result: checkpoints, resuming, diagnostics and stopping.

use crate::{Callback, Checkpointing, RunConfig, RunResult, TrainError, config::Time, run};
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};
use stompp_graph::Graph;
use stompp_parallel::{Collective, Solo};

/// What to do if the directory already holds a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Return [`TrainError::RunExists`] and change nothing.
    #[default]
    New,
    /// Resume it from its last checkpoint. If it is finished, return its result.
    Resume,
    /// Remove it and start over.
    Overwrite,
}

/// What to do if a loss, a gradient or the network is no longer finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDivergence {
    /// Stop with an error that names the layer and the last good checkpoint.
    #[default]
    Stop,
    /// Return to the last checkpoint with half the learning rate. Stop at the second divergence.
    Restore,
}

/// How to carry out a run. The default does the same as [`train`](crate::train).
///
/// ```
/// use stompp_train::{Checkpointing, RunConfig, Session, Start, TrainError};
/// use std::sync::atomic::Ordering;
///
/// let config = RunConfig::from_toml(
///     "data = { train_limit = 40, test_limit = 20, image_size = 8 }
///      network = { model = 'resnet8', width = 4 }
///      training = { duration = '8ba', batch_size = 10 }",
/// )?;
/// let folder = tempfile::tempdir()?;
/// let session = Session { start: Start::Resume, checkpoints: Some(Checkpointing::default()), ..Session::default() };
/// session.stop.store(true, Ordering::Relaxed); // A signal handler can do this at any time.
/// let stopped = session.train(&config, folder.path(), &mut []).unwrap_err();
/// assert!(matches!(stopped, TrainError::Stopped { step: 1, .. }));
///
/// session.stop.store(false, Ordering::Relaxed);
/// assert_eq!(session.train(&config, folder.path(), &mut [])?.steps, 8); // Resumes after step 1.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    /// What to do if the directory already holds a run.
    pub start: Start,
    /// When to write checkpoints, and which of them to keep. No checkpoints if absent.
    pub checkpoints: Option<Checkpointing>,
    /// What to do at a divergence.
    pub on_divergence: OnDivergence,
    /// Time between diagnostics of each unit ([`DiagnosticsReport`](crate::DiagnosticsReport)); at least one step. No diagnostics if
    /// absent.
    pub diagnostics: Option<Time>,
    /// Accept that the list of image files has changed since the run began: with [`Start::Resume`], resume with the current list.
    /// An epoch must have as many steps as before.
    pub reindex: bool,
    /// Set this from any thread to stop the run after its current step, with a checkpoint and [`TrainError::Stopped`]. A running
    /// evaluation is cancelled, and repeated when the run resumes. If the flag is already set at the start, the run does one step
    /// and the evaluation that is due after it.
    pub stop: Arc<AtomicBool>,
    /// The processes that train together. Each process calls the same function with the same arguments, and has a part of each batch.
    /// Process 0 writes the run directory and calls the callbacks. If one process is told to stop, all stop. By default this process
    /// trains alone.
    pub processes: Arc<dyn Collective>,
}

/// A new run without checkpoints, with diagnostics every epoch, which stops at a divergence.
impl Default for Session {
    fn default() -> Self {
        Self {
            start: Start::default(),
            checkpoints: None,
            on_divergence: OnDivergence::default(),
            diagnostics: Some(Time::Epochs(1.0)),
            reindex: false,
            stop: Arc::default(),
            processes: Arc::new(Solo),
        }
    }
}

impl Session {
    /// Trains a network as [`train`](crate::train) does, with the settings of this session.
    ///
    /// A resumed run ends in the same bits as an uninterrupted one. Its metrics have every epoch and evaluation once, and one line of
    /// kind `start` for each start or resume.
    ///
    /// # Errors
    /// Returns the errors of [`train`](crate::train), [`TrainError::OtherRun`] if the configuration of the run in the directory gives
    /// another result, [`TrainError::OtherImages`] if the run began with other images, [`TrainError::Busy`] if another process is using
    /// the directory, and [`TrainError::Stopped`] after [`Session::stop`].
    pub fn train(
        &self,
        config: &RunConfig,
        out: &Path,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<RunResult, TrainError> {
        run::run(self, config, None, out, callbacks)
    }

    /// Trains a network as [`train_graph`](crate::train_graph) does, with the settings of this session.
    ///
    /// # Errors
    /// Returns the errors of [`Session::train`] and [`train_graph`](crate::train_graph).
    pub fn train_graph(
        &self,
        graph: &Graph,
        config: &RunConfig,
        out: &Path,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<RunResult, TrainError> {
        run::run(self, config, Some(graph), out, callbacks)
    }
}
