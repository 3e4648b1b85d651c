//! `gpu-day`: uses a GPU that is at hand for some minutes. It runs the steps of a CUDA bundle (tests, compute-sanitizer,
//! benchmark, profile, trainings), most important first, each with a time limit and a log of its own, and goes on after a failure.
//!
//! The folder `results` of `--out` holds what is to be brought back. A second call with the same `--out` goes on where the first
//! one stopped. The program does not use CUDA itself, so that it can report a library that is missing.
//!
//! The exit code is 0, 1 if a step failed or ran out of its own time limit, 2 for wrong usage.
#![forbid(unsafe_code)]

mod bundle;
mod day;
mod machine;
mod process;
mod results;
mod steps;
mod summary;
mod training;

use anyhow::Context;
use clap::Parser;
use day::Day;
use process::Budget;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// What `gpu-day` takes.
#[derive(Debug, Parser)]
#[command(
    name = "gpu-day.sh",
    about = "Test, measure and train on a GPU that is at hand for some minutes",
    override_usage = "gpu-day.sh --minutes <N> --out <DIR> [--data <DIR>] [--epochs <N>]"
)]
struct Options {
    /// When to end, whatever is left to do
    #[arg(long, value_name = "N", value_parser = minutes)]
    minutes: Duration,
    /// Folder for the results (DIR/results: bring it back) and what a second call goes on from
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder with the binary version of CIFAR-10 (data_batch_1.bin, ..., test_batch.bin); without it nothing is trained
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Length of each training [default: measured, as many as fit into the time that is left, for all methods]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    epochs: Option<u32>,
    /// Folder of the bundle (gpu-day.sh sets it)
    #[arg(long, value_name = "DIR", hide = true)]
    bundle: PathBuf,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if minutes > 0.0 && minutes <= 10_000.0 {
        Ok(Duration::from_secs_f64(60.0 * minutes))
    } else {
        Err("expected more than 0 and at most 10000".to_owned())
    }
}

/// The command line asks for something that cannot be done; the process ends with exit code 2.
#[derive(Debug)]
struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            stompp_console::errln!("error: {error:#}");
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

/// Whether every step that ran has passed.
fn run(options: &Options) -> anyhow::Result<bool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot watch for signals")?;
    }
    let budget = Budget::new(options.minutes, stop);
    Day::open(options, budget)?.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_positive() {
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        for text in ["0", "-1", "NaN", "inf", "ten", ""] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
