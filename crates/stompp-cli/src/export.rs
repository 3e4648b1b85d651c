//! `stompp export`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;
use stompp_console::outln;
use stompp_train::{CheckpointName, Dialect, ExportFormat, SavedRun};

/// Write the trained network of a run for other tools
///
/// docs/deploy.md lists the tools that run each file. `stompp pack` writes the small file for `stompp predict`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// Directory of a run
    run_dir: PathBuf,

    /// File format
    #[arg(long)]
    format: Format,

    /// The new file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Export a checkpoint instead: best, last, the number of a step, or a file
    #[arg(long, value_name = "best|last|STEP|FILE")]
    checkpoint: Option<CheckpointName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Safetensors file with torchvision's names; binary weights are -1 and +1
    Safetensors,
    /// ONNX with standard operators only
    Onnx,
    /// ONNX with QONNX's BipolarQuant
    OnnxBipolar,
    /// ONNX with binary convolutions that OpenVINO runs on bits; batch size 1
    Openvino,
}

const EXAMPLES: &str = "\
Examples:
  stompp export runs/first --format onnx --out net.onnx
  stompp export runs/first --format safetensors --out weights.safetensors";

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Safetensors => Self::Safetensors,
            Format::Onnx => Self::Onnx(Dialect::Standard),
            Format::OnnxBipolar => Self::Onnx(Dialect::Qonnx),
            Format::Openvino => Self::Onnx(Dialect::OpenVino),
        }
    }
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut run = SavedRun::open(&self.run_dir)?;
        run.checkpoint = self.checkpoint;
        let bytes = run.write_export(self.format.into(), &self.out)?;
        outln!("{}: {bytes} bytes", self.out.display());
        Ok(())
    }
}
