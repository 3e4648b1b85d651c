//! `stompp pack`.

use clap::Args;
use std::path::PathBuf;
use stompp_console::outln;
use stompp_train::{CheckpointName, SavedRun};

/// Write the trained network of a run to one small file that runs without the trainer
///
/// The file is a safetensors file with one bit per binary weight. Batch norms before a sign are folded into integer thresholds. The
/// header has the classes, the preprocessing of images, the revision of the code, the run, and the licence. `stompp predict` and the
/// crate stompp-infer run the file.
#[derive(Args)]
pub(crate) struct Pack {
    /// Directory of a run
    run_dir: PathBuf,

    /// The new file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Pack a checkpoint instead: best, last, the number of a step, or a file
    #[arg(long, value_name = "best|last|STEP|FILE")]
    checkpoint: Option<CheckpointName>,

    /// Licence of the weights, for the file's header
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    licence: String,
}

impl Pack {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut run = SavedRun::open(&self.run_dir)?;
        run.checkpoint = self.checkpoint;
        let size = run.write_packed(&self.out, &self.licence)?;
        outln!(
            "{}: {} bytes, of which {} are the header and {} the network; `stompp summary` promised {}",
            self.out.display(),
            size.file,
            size.header,
            size.file - size.header,
            size.promised
        );
        Ok(())
    }
}
