//! `stompp`: trains binary networks by layerwise progressive freezing, evaluates them and deploys them.
//!
//! Invariants:
//! - **Each option of a run is defined once**, in the table of `stompp_train::config::options`.
//! - **Results go to standard output; progress and errors go to standard error.** The exit code is 0 for success, 1 for a
//!   failure, 2 for a usage error, and 129, 130 or 143 after SIGHUP, SIGINT or SIGTERM.
//! - **This crate does not reproduce the paper's tables.**
#![forbid(unsafe_code)]

mod checkpoint_args;
mod count;
mod data;
mod eval;
mod export;
mod options;
mod pack;
mod predict;
mod processes;
mod progress;
mod report;
mod score;
mod suggestion;
mod summary;
mod threads;
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use stompp_train::TrainError;

/// Train deep binary neural networks by layerwise progressive freezing (StoMPP).
#[derive(Parser)]
#[command(name = "stompp", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  stompp train --out runs/first
      Train a ResNet-20 on generated images: nothing to download.
  stompp eval runs/first
      Evaluate the saved network.
  stompp pack runs/first --out net.stompp
      Write the trained network to one small file, with one bit per binary weight.
  stompp predict net.stompp photo.png
      Classify a picture.
  stompp summary --model resnet50 --image-size 224
      Show the costs of a network, layer by layer.

`stompp help train` explains every option.";

#[derive(Subcommand)]
enum Command {
    Train(train::Train),
    Eval(eval::Eval),
    Pack(pack::Pack),
    Export(export::Export),
    #[command(visible_aliases = ["infer"], alias = "inference")]
    Predict(predict::Predict),
    Summary(summary::Summary),
    Data(data::Data),
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => suggestion::with_suggestion(options::name_field(error)).exit(),
    };
    // A training saves its result in its directory, so a failure to print it is not an error.
    let printing_counts = !matches!(command, Command::Train(_));
    let result = match command {
        Command::Train(train) => train.run(),
        Command::Eval(eval) => eval.run(),
        Command::Pack(pack) => pack.run(),
        Command::Export(export) => export.run(),
        Command::Predict(predict) => predict.run(),
        Command::Summary(summary) => summary.run(),
        Command::Data(data) => data.run(),
    };
    match result {
        Ok(()) => match stompp_console::stdout_result() {
            Err(error) if printing_counts => {
                stompp_console::errln!("error: cannot write to standard output: {error}");
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
        Err(error) => {
            if !error.is::<processes::ReportedByFirst>() {
                stompp_console::errln!("error: {}", report::message(&error));
            }
            ExitCode::from(match error.downcast_ref() {
                Some(TrainError::Config(_) | TrainError::NoRun { .. } | TrainError::NotBinary { .. }) => 2,
                Some(TrainError::Stopped { .. }) => stompp_console::signals::exit_code(),
                _ => 1,
            })
        }
    }
}
