//! How a run is carried out: what decides nothing about its result.

use crate::{Callback, Checkpointing, RunConfig, RunResult, TrainError, config::Time, run};
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};
use stompp_graph::Graph;

/// What to do about a run that the directory holds already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Refuse it, untouched.
    #[default]
    New,
    /// Go on from its last checkpoint; if it is finished, its result is the result.
    Resume,
    /// Remove it and start over.
    Overwrite,
}

/// What to do when a loss or a gradient is no finite number any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDivergence {
    /// Stop, naming the layer and the last good checkpoint.
    #[default]
    Stop,
    /// Go back to the last checkpoint with half the learning rate, once; then stop.
    Restore,
}

/// How a run is carried out. The default is what [`train`](crate::train) does.
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
/// session.stop.store(true, Ordering::Relaxed); // As a signal handler would, at any time.
/// let stopped = session.train(&config, folder.path(), &mut []).unwrap_err();
/// assert!(matches!(stopped, TrainError::Stopped { step: 1, .. }));
///
/// session.stop.store(false, Ordering::Relaxed);
/// assert_eq!(session.train(&config, folder.path(), &mut [])?.steps, 8); // Goes on at step 1.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    /// What to do about a run that is there already.
    pub start: Start,
    /// When checkpoints are written, and which are kept; none if absent.
    pub checkpoints: Option<Checkpointing>,
    /// What to do about a divergence.
    pub on_divergence: OnDivergence,
    /// Time between diagnostics of each unit ([`DiagnosticsReport`](crate::DiagnosticsReport)); none if absent. Less than a step
    /// counts as one.
    pub diagnostics: Option<Time>,
    /// Accept that the list of image files is another than when the run was begun: with [`Start::Resume`] go on with the list as
    /// it is now. An epoch must have as many steps as before.
    pub reindex: bool,
    /// Set this, from any thread, to end the run with a checkpoint: [`TrainError::Stopped`]. It ends after its current step; a
    /// running evaluation is given up and made again when the run goes on. If it is set from the start, the run takes one step and
    /// makes the evaluation that is due after it.
    pub stop: Arc<AtomicBool>,
}

/// A new run without checkpoints, with diagnostics each epoch, that stops at a divergence.
impl Default for Session {
    fn default() -> Self {
        Self {
            start: Start::default(),
            checkpoints: None,
            on_divergence: OnDivergence::default(),
            diagnostics: Some(Time::Epochs(1.0)),
            reindex: false,
            stop: Arc::default(),
        }
    }
}

impl Session {
    /// As [`train`](crate::train), in this way.
    ///
    /// A resumed run ends in the same bits as one that was never interrupted. Its metrics have every epoch and evaluation
    /// once, and one line of kind `start` for each time that it was taken up.
    ///
    /// # Errors
    /// As [`train`](crate::train); [`TrainError::OtherRun`] if the directory's run has a configuration with another result,
    /// [`TrainError::Busy`] if another process works on it, [`TrainError::Stopped`] after [`Session::stop`].
    pub fn train(
        &self,
        config: &RunConfig,
        out: &Path,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<RunResult, TrainError> {
        run::run(self, config, None, out, callbacks)
    }

    /// As [`train_graph`](crate::train_graph), in this way.
    ///
    /// # Errors
    /// As [`Session::train`] and [`train_graph`](crate::train_graph).
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
