//! Options for checkpoints, metrics and resuming. They do not change a run's result, so its configuration does not contain them.

use clap::{Args, ValueEnum};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::{Arc, atomic::AtomicBool},
};
use stompp_parallel::Collective;
use stompp_train::{CheckpointInterval, Checkpointing, OnDivergence, Session, Start, config::Time};

/// The name that errors of `stompp-train` have for `--checkpoint-every`. It is not a field of the configuration.
pub(crate) const EVERY_FIELD: &str = "checkpoints.every";

/// The options of `stompp train` for checkpoints and metrics.
#[derive(Args)]
#[command(next_help_heading = "Checkpoints and metrics")]
pub(crate) struct CheckpointArgs {
    /// Time between checkpoints: 500ba (batches), 1ep (epochs), 5% (of the training) or 10min
    #[arg(long, value_name = "TIME", default_value_t)]
    checkpoint_every: CheckpointInterval,

    /// Number of newest checkpoints to keep; the checkpoint of the best evaluation is always kept
    #[arg(long, value_name = "N", default_value_t = Checkpointing::default().keep_last)]
    keep_last: NonZeroUsize,

    /// Never remove every K-th checkpoint
    #[arg(long, value_name = "K")]
    keep_every: Option<NonZeroU64>,

    /// Resume even if the list of image files has changed since the run began (noted in the metrics)
    #[arg(long)]
    reindex: bool,

    /// Start a new run; an error if the directory already holds a run
    #[arg(long)]
    fresh: bool,

    /// With --fresh: remove the run that the directory holds
    #[arg(long, requires = "fresh")]
    force: bool,

    /// Time between diagnostics of each unit (frozen fraction, flips, gradient norm, histogram; in metrics.jsonl): 100ba, 1ep or 2%
    #[arg(long, value_name = "TIME", default_value_t = Time::Epochs(1.0))]
    diagnostics: Time,

    /// Write no diagnostics of units
    #[arg(long, conflicts_with = "diagnostics")]
    no_diagnostics: bool,

    /// What to do when the loss or a gradient is no longer finite: stop, or go back to the last checkpoint and halve the
    /// learning rate, once
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_divergence: DivergenceRule,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum DivergenceRule {
    #[default]
    Stop,
    Restore,
}

impl CheckpointArgs {
    /// The session of `processes` that these options describe. It stops when `stop` is set.
    pub(crate) fn session(&self, stop: Arc<AtomicBool>, processes: Arc<dyn Collective>) -> Session {
        Session {
            start: match (self.fresh, self.force) {
                (false, _) => Start::Resume,
                (true, false) => Start::New,
                (true, true) => Start::Overwrite,
            },
            checkpoints: Some(Checkpointing {
                every: self.checkpoint_every,
                keep_last: self.keep_last,
                keep_every: self.keep_every,
            }),
            on_divergence: match self.on_divergence {
                DivergenceRule::Stop => OnDivergence::Stop,
                DivergenceRule::Restore => OnDivergence::Restore,
            },
            diagnostics: (!self.no_diagnostics).then_some(self.diagnostics),
            reindex: self.reindex,
            stop,
            processes,
        }
    }

    /// Whether a run in the directory is resumed.
    pub(crate) fn is_resume(&self) -> bool {
        !self.fresh
    }
}
