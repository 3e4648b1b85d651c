//! `stompp predict`.

mod output;

use crate::threads::Threads;
use anyhow::{bail, ensure};
use clap::Args;
use output::{Format, PredictionPrinter};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use stompp_console::errln;
use stompp_train::{CheckpointName, Predictor, SavedRun, UnlabelledImages};

/// The path that means standard input.
const STDIN: &str = "-";

/// Classify images with a packed network, or with the trained network of a run
///
/// Prints the most likely classes of each image with their probabilities. Images are prepared exactly as in `stompp eval`. Unreadable
/// images are reported on standard error and left out; the exit code is then 1.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Predict {
    /// A packed network (`stompp pack` writes one), or the directory of a run
    #[arg(value_name = "NET|RUN")]
    network: PathBuf,

    /// Image files; folders, .tar or .zip files with images; files of CIFAR or MNIST; - for one image from standard input
    #[arg(required = true, value_name = "IMAGE|DIR|ARCHIVE|-")]
    images: Vec<PathBuf>,

    /// Number of classes to print for each image
    #[arg(long, value_name = "K", default_value = "1")]
    top_k: NonZeroUsize,

    /// Print one line of JSON for each image
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print CSV with the columns image, rank, class, name and probability
    #[arg(long)]
    csv: bool,

    /// Use a checkpoint of the run instead: best, last, the number of a step, or a file
    #[arg(long, value_name = "best|last|STEP|FILE")]
    checkpoint: Option<CheckpointName>,

    #[command(flatten)]
    threads: Threads,
}

const EXAMPLES: &str = "\
Examples:
  stompp predict net.stompp cat.jpg dog.png
  stompp predict runs/first photos --top-k 3 --csv > answers.csv
  curl -s https://example.org/cat.jpg | stompp predict net.stompp -";

impl Predict {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let predictor = self.predictor()?;
        let format = match (self.json, self.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Table,
        };
        let mut output = PredictionPrinter::new(format);
        let mut count = PredictStats::default();
        self.threads.run(|| {
            for path in &self.images {
                count.open(path, |images, count| {
                    output.print_header(images, &predictor);
                    let start = Instant::now();
                    let done = predictor.predict(images, self.top_k.get(), |image, top| -> anyhow::Result<()> {
                        match top {
                            Ok(top) => {
                                count.done += 1;
                                output.print(&image, &top, &predictor)
                            }
                            Err(error) => count.failed(&error.into()),
                        }
                        Ok(())
                    });
                    count.time += start.elapsed();
                    done
                })?;
            }
            anyhow::Ok(())
        })??;
        count.report()
    }

    fn predictor(&self) -> anyhow::Result<Predictor> {
        if !self.network.is_dir() {
            ensure!(
                self.checkpoint.is_none(),
                "--checkpoint is for runs; {} is a file",
                self.network.display()
            );
            return Ok(Predictor::open(&self.network)?);
        }
        let mut run = SavedRun::open(&self.network)?;
        run.checkpoint = self.checkpoint.clone();
        Ok(Predictor::from_run(&run)?)
    }
}

/// Numbers of classified and failed images, and the time.
#[derive(Default)]
struct PredictStats {
    done: usize,
    failed: usize,
    /// Time for reading and classifying images, without opening files and folders.
    time: Duration,
}

impl PredictStats {
    /// Opens the images at `path` and calls `work` with them. A path that cannot be opened counts as one failed image.
    fn open(
        &mut self,
        path: &Path,
        work: impl FnOnce(&UnlabelledImages, &mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match images(path) {
            Ok(images) => {
                images.notes().iter().for_each(|note| errln!("note: {note}"));
                work(&images, self)
            }
            Err(error) => {
                self.failed(&error);
                Ok(())
            }
        }
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        errln!("left out: {error:#}");
    }

    /// Prints the number of images and the speed.
    ///
    /// # Errors
    /// Returns an error if any image could not be read.
    fn report(self) -> anyhow::Result<()> {
        let seconds = self.time.as_secs_f64();
        if self.done > 0 {
            let plural = if self.done == 1 { "" } else { "s" };
            let images_per_s = self.done as f64 / seconds;
            errln!(
                "{} image{plural} in {seconds:.3} s, {images_per_s:.0} images/s",
                self.done
            );
        }
        match self.failed {
            0 => Ok(()),
            failed => bail!("{failed} of {} images could not be read", failed + self.done),
        }
    }
}

fn images(path: &Path) -> anyhow::Result<UnlabelledImages> {
    if path != Path::new(STDIN) {
        return Ok(UnlabelledImages::open(path)?);
    }
    Ok(UnlabelledImages::from_reader(
        "from standard input",
        std::io::stdin().lock(),
    )?)
}
