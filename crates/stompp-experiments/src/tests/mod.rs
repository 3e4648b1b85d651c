//! Tests of whole sweeps. Runs write fake results at once, except in [`real`], where networks are trained.

mod archive;
mod pages;
mod real;
mod setups;
mod sweep;
mod tables;

use crate::error::Result;
use crate::testing::finish;
use crate::*;
use clap::Parser;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use stompp_train::config::{Dataset, Method, Surrogate};
use stompp_train::{Callback, RunConfig, RunResult, TrainError};

/// The options of a test's sweep, parsed from one line.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    experiment: String,
    #[arg(long, default_value_t)]
    preset: Preset,
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(long)]
    imagenet: Option<PathBuf>,
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    only: Option<String>,
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    #[arg(long)]
    shard: Option<Shard>,
    #[arg(long, num_args = 1..)]
    merge: Vec<PathBuf>,
    #[arg(long)]
    archive: Option<PathBuf>,
    #[arg(long)]
    jobs: Option<usize>,
}

impl Line {
    fn setup(&self) -> Setup {
        Setup {
            data: self.data.clone(),
            imagenet: self.imagenet.clone(),
            seeds: self.seeds,
            ..Setup::new(self.preset)
        }
    }

    fn open(&self, setup: Setup) -> Result<Sweep> {
        let wanted = |experiment: &&builtin::Builtin| [experiment.name, "all"].contains(&&*self.experiment);
        let experiments = builtin::ALL.iter().filter(wanted);
        let options = SweepOptions {
            report: Some(self.experiment.clone()),
            archive: self.archive.clone().map(Archive::new),
            only: self.only.clone(),
            shard: self.shard,
            jobs: self.jobs,
            quiet: true,
            command: Some(format!(
                "cargo xtask reproduce {} --preset {} --seeds {}",
                self.experiment, self.preset, self.seeds
            )),
            ..SweepOptions::new(&self.out)
        };
        Sweep::open(
            experiments.map(|experiment| experiment.experiment(&setup)).collect(),
            setup,
            options,
        )
    }

    fn run(&self, setup: Setup, train: TrainFn<'_>) -> Result<()> {
        let mut sweep = self.open(setup)?;
        if self.merge.is_empty() {
            return sweep.run(train).map(drop);
        }
        sweep.merge(&self.merge)?;
        sweep.write_report()?;
        sweep.check()
    }
}

/// A folder for results, and the names of the runs that began in it.
struct SweepTest {
    folder: tempfile::TempDir,
    begun: Mutex<Vec<String>>,
}

impl SweepTest {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            begun: Mutex::new(Vec::new()),
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// The experiment is table1 unless the arguments begin with a name.
    fn line(&self, arguments: &str) -> Line {
        let out = self.out();
        let named = arguments.starts_with(char::is_alphabetic);
        let experiment = if named { "" } else { "table1 " };
        let line = format!("{experiment}{arguments} --out {}", out.display());
        Line::parse_from(line.split_whitespace())
    }

    fn run_by(&self, line: &Line, train: TrainFn<'_>) -> Result<()> {
        line.run(line.setup(), train)
    }

    /// Runs a sweep. `find` returns the accuracy of each run.
    fn run_as(&self, arguments: &str, find: impl Fn(&RunConfig) -> Result<f64, TrainError> + Sync) -> Result<()> {
        let train = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
            assert!(!RunResult::exists(dir), "a finished run is not repeated");
            if dir.starts_with(self.out()) {
                let name = dir.file_name().unwrap().to_string_lossy().into_owned();
                self.begun.lock().unwrap().push(name);
            }
            finish(dir, config, find(config)?);
            Ok(())
        };
        self.run_by(&self.line(arguments), &train)
    }

    /// Runs a sweep with accuracies that depend on method and depth.
    fn run(&self, arguments: &str) -> Result<()> {
        self.run_as(arguments, |config| Ok(accuracy(config)))
    }

    /// The runs that began since the last call.
    fn begun(&self) -> Vec<String> {
        std::mem::take(&mut self.begun.lock().unwrap())
    }

    /// A run's directory.
    fn run_dir(&self, name: &str) -> PathBuf {
        self.out().join("smoke/runs").join(name)
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.out().join("smoke/table1").join(file)).unwrap()
    }

    fn results(&self) -> Value {
        serde_json::from_str(&self.text(RESULTS)).unwrap()
    }

    fn table(&self) -> String {
        self.text(report::TABLES)
    }
}

fn depth(config: &RunConfig) -> usize {
    config.network.model.named().expect("it has a name").depth()
}

fn accuracy(config: &RunConfig) -> f64 {
    let gain = match config.method.name {
        Method::Float | Method::Ste => 0.0,
        Method::Stompp => depth(config) as f64 / 4.0,
        Method::StomppSte => depth(config) as f64 / 2.0,
    };
    40.0 + gain + config.seed as f64 / 2.0
}

fn failing_message(outcome: Result<()>) -> String {
    format!("{:#}", outcome.unwrap_err())
}
