//! Options for what is kept of a run on the way, and for going on with one: they change no bit of a result that is reached.

use clap::{Args, ValueEnum};
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::{Arc, atomic::AtomicBool},
};
use stompp_train::{CheckpointInterval, Checkpointing, OnDivergence, Session, Start, config::Time};

/// The options of `stompp train` for checkpoints and metrics.
#[derive(Args)]
#[command(next_help_heading = "Checkpoints and metrics")]
pub(crate) struct CheckpointArgs {
    /// Time between checkpoints: 500ba (batches), 1ep (epochs), 5% (of the training) or 10min
    #[arg(long, value_name = "TIME", default_value_t)]
    checkpoint_every: CheckpointInterval,

    /// How many of the newest checkpoints are kept; that of the best evaluation is kept beside them
    #[arg(long, value_name = "N", default_value_t = Checkpointing::default().keep_last)]
    keep_last: NonZeroUsize,

    /// Keep every K-th checkpoint for good
    #[arg(long, value_name = "K")]
    keep_every: Option<NonZeroU64>,

    /// Go on although the list of image files is another than when the run was begun (told in the metrics)
    #[arg(long)]
    reindex: bool,

    /// Start a new run; refused if the directory holds one
    #[arg(long)]
    fresh: bool,

    /// With --fresh: remove the run that the directory holds
    #[arg(long, requires = "fresh")]
    force: bool,

    /// Time between looks at each unit (frozen fraction, flips, gradient norm, histogram; in metrics.jsonl): 100ba, 1ep or 2%
    #[arg(long, value_name = "TIME", default_value_t = Time::Epochs(1.0))]
    diagnostics: Time,

    /// Do not look at units
    #[arg(long, conflicts_with = "diagnostics")]
    no_diagnostics: bool,

    /// When loss or gradient are no finite numbers any more: stop, or go back to the last checkpoint and halve the learning
    /// rate, once
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
    /// How the run is carried out; it ends when `stop` is set.
    pub(crate) fn session(&self, stop: Arc<AtomicBool>) -> Session {
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
        }
    }

    /// Whether a run that is there is gone on with.
    pub(crate) fn is_resume(&self) -> bool {
        !self.fresh
    }
}
