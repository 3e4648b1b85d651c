//! `stompp eval`.

use crate::{progress::Progress, score, threads::Threads};
use clap::Args;
use std::path::PathBuf;
use stompp_train::SavedRun;

/// Score the trained network of a run again, from its saved file
#[derive(Args)]
pub(crate) struct Eval {
    /// Directory of a finished run
    run_dir: PathBuf,

    /// Where the data set is now, if it has moved since
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    #[command(flatten)]
    threads: Threads,
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut run = SavedRun::load(&self.run_dir)?;
        if self.data.is_some() {
            run.config.data.path = self.data;
        }
        let score = self.threads.run(|| run.evaluate(&mut Progress::new()))??;
        println!("{}", score::line(score.top1, score.loss, score.images));
        Ok(())
    }
}
