//! Commands for the whole repository: `cargo xtask reproduce`, `archive`, `tables`, `bench`, `cuda-verify`, `cuda-bundle`,
//! `cuda-rehearsal`, `torture`, `sanitize`, `examples` and `tidy`. Each command has a module with a function `run`.
//!
//! The exit code is 0 on success, 1 if the command failed, 2 for a usage error, and 129, 130 or 143 after SIGHUP, SIGINT or SIGTERM.
#![forbid(unsafe_code)]

mod bench;
mod cuda;
mod examples;
mod reproduce;
mod sanitize;
mod tidy;
mod torture;
mod usage;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use usage::UsageError;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Reproduce the paper's tables, measure speed, check the repository's rules",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run an experiment of the paper and print its table beside the published one
    Reproduce(reproduce::Options),
    /// Keep the finished runs of sweeps as small JSON files in docs/runs
    Archive(reproduce::archive::Options),
    /// Make the tables and figures of docs/results.md again from docs/runs, or compare them
    Tables(reproduce::tables::Options),
    /// Time a training step as the network freezes, and the same step in PyTorch
    Bench(bench::Options),
    /// Run every test that needs an NVIDIA GPU, or without one a fake driver
    CudaVerify(cuda::verify::Options),
    /// Build one folder that trains on a GPU machine which has neither Rust nor a network
    CudaBundle(cuda::bundle::Options),
    /// Run a bundle's gpu-day.sh from beginning to end on a fake driver
    CudaRehearsal,
    /// Kill small runs at random moments and check that nothing is lost
    Torture(torture::Options),
    /// Run the tests of the unsafe code under AddressSanitizer (nightly)
    Sanitize,
    /// Build and run the examples that need other frameworks (candle, burn)
    Examples,
    /// Check the rules that no compiler checks: module docs, dependencies between crates, file sizes, stubs, words
    Tidy,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stompp_console::errln!("error: {error:#}");
            ExitCode::from(match () {
                () if error.is::<UsageError>() => 2,
                () if is_stopped(&error) => stompp_console::signals::exit_code(),
                () => 1,
            })
        }
    }
}

/// Returns whether the error says that a signal stopped the program.
fn is_stopped(error: &anyhow::Error) -> bool {
    let run = error.downcast_ref::<stompp_train::TrainError>();
    let sweep = error.downcast_ref::<stompp_experiments::ExperimentError>();
    matches!(run, Some(stompp_train::TrainError::Stopped { .. })) || sweep.is_some_and(|error| error.is_stopped())
}

fn run(cli: &Cli) -> Result<()> {
    match &cli.verb {
        Verb::Reproduce(options) => reproduce::run(options),
        Verb::Archive(options) => reproduce::archive::run(options),
        Verb::Tables(options) => reproduce::tables::run(options),
        Verb::Bench(options) => bench::run(options),
        Verb::CudaVerify(options) => cuda::verify::run(*options),
        Verb::CudaBundle(options) => cuda::bundle::run(options),
        Verb::CudaRehearsal => cuda::rehearsal::run(),
        Verb::Torture(options) => torture::run(options),
        Verb::Sanitize => sanitize::run(),
        Verb::Examples => examples::run(),
        Verb::Tidy => tidy::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
