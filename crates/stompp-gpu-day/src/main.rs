//! `gpu-day`: tests, measures and trains on a GPU within a given number of minutes. It runs the steps of a CUDA bundle (tests,
//! compute-sanitizer, benchmark, profile, trainings), the most important first. Each step has its own time limit and log. After a
//! failure the next step runs.
//!
//! The folder `results` in `--out` is the one to copy from the machine. A second call with the same `--out` continues where the
//! first one stopped. The program itself does not use CUDA, so it can report a missing library.
//!
//! The exit code is 0 on success, 1 if a step failed or exceeded its time limit, and 2 for a usage error.
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

/// The command line of `gpu-day`.
#[derive(Debug, Parser)]
#[command(
    name = "gpu-day.sh",
    about = "Test, measure and train on a GPU within a given number of minutes",
    override_usage = "gpu-day.sh --minutes <N> --out <DIR> [--data <DIR>] [--epochs <N>]"
)]
struct Options {
    /// Time limit of this call in minutes
    #[arg(long, value_name = "N", value_parser = minutes)]
    minutes: Duration,
    /// Folder for the results (copy DIR/results from the machine) and for the state that a second call continues from
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder with the binary version of CIFAR-10 (data_batch_1.bin, ..., test_batch.bin); without it, no training runs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Length of each training [default: as many as all methods can train in the remaining time, by measured speed]
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

/// A usage error. The process ends with exit code 2.
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

/// Runs the program. Returns whether no step has failed.
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
