//! The whole verb, with runs that take no time; and, in [`real`], with networks that are trained.

mod archive;
mod asking;
mod pages;
mod real;
mod sweep;
mod tables;

use super::preset::Preset;
use super::testing::finish;
use super::*;
use crate::reproduce::row::model;
use clap::Parser;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use stompp_train::RunResult;
use stompp_train::config::{Dataset, Method, Surrogate};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A folder for results, and which runs were begun in it.
struct Bench {
    folder: tempfile::TempDir,
    begun: Mutex<Vec<String>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            begun: Mutex::new(Vec::new()),
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// The command line; the experiment is table1 unless the arguments begin with a name.
    fn options(&self, arguments: &str) -> Options {
        let out = self.out();
        let named = arguments.starts_with(char::is_alphabetic);
        let experiment = if named { "" } else { "table1 " };
        let line = format!("reproduce {experiment}{arguments} --quiet --out {}", out.display());
        Line::parse_from(line.split_whitespace()).options
    }

    fn run_by(&self, options: &Options, runner: Runner<'_>) -> Result<()> {
        run_with(options, options.scale()?, runner)
    }

    /// Runs the verb with runs that find what `find` says.
    fn run_as(&self, arguments: &str, find: impl Fn(&RunConfig) -> Result<f64, TrainError> + Sync) -> Result<()> {
        let runner = |config: &RunConfig, dir: &Path, _: &mut [&mut dyn Callback]| {
            assert!(!RunResult::exists(dir), "a finished run is not repeated");
            if dir.starts_with(self.out()) {
                let name = dir.file_name().unwrap().to_string_lossy().into_owned();
                self.begun.lock().unwrap().push(name);
            }
            finish(dir, config, find(config)?);
            Ok(())
        };
        self.run_by(&self.options(arguments), &runner)
    }

    /// Runs the verb; accuracy follows method and depth.
    fn run(&self, arguments: &str) -> Result<()> {
        self.run_as(arguments, |config| Ok(accuracy(config)))
    }

    /// The runs begun since the last call.
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
        serde_json::from_str(&self.text(results::FILE)).unwrap()
    }

    fn table(&self) -> String {
        self.text("table.md")
    }
}

fn accuracy(config: &RunConfig) -> f64 {
    let gain = match config.method.name {
        Method::Float | Method::Ste => 0.0,
        Method::Stompp => model(config).depth() as f64 / 4.0,
        Method::StomppSte => model(config).depth() as f64 / 2.0,
    };
    40.0 + gain + config.seed as f64 / 2.0
}

fn failing_message(outcome: Result<()>) -> String {
    format!("{:#}", outcome.unwrap_err())
}
