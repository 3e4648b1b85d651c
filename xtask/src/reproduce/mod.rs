//! `reproduce`, `archive` and `tables`: the command lines of `stompp-experiments`, which has the experiments, sweeps and reports.

pub(crate) mod archive;
mod options;
mod preview;
mod slurm;
pub(crate) mod tables;
#[cfg(test)]
mod tests;

use crate::usage::UsageError;
use anyhow::{Context, Result};
use stompp_console::signals;
use stompp_experiments::{ExperimentError, PAGE, Setup, Sweep, TrainFn, trainer};

pub(crate) use options::Options;

/// Runs the experiment of `options`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stop = signals::stop_flag().context("cannot watch for signals")?;
    run_with(options, options.setup()?, &trainer(stop))
}

fn run_with(options: &Options, setup: Setup, train: TrainFn<'_>) -> Result<()> {
    let experiments = options.experiments(&setup);
    let mut sweep = Sweep::open(experiments, setup, options.sweep()).map_err(usage)?;
    if options.dry_run {
        preview::show(&sweep);
        return preview::announce_cost(&sweep, train);
    }
    if options.slurm {
        return slurm::write(options, &sweep);
    }
    if options.merge.is_empty() {
        sweep.skip_missing_images(train)?;
        if !options.quiet {
            preview::announce_skipped(&sweep);
            preview::announce_cost(&sweep, train)?;
        }
        sweep.train(train)?;
    } else {
        let copied = sweep.merge(&options.merge)?;
        if !options.quiet {
            stompp_console::errln!("{copied} finished runs copied");
        }
    }
    stompp_console::outln!("{}", sweep.write_report()?);
    if !options.quiet {
        stompp_console::errln!("Written to {}: open {PAGE}", sweep.report_folder().display());
    }
    Ok(sweep.check()?)
}

/// Turns the error of a pattern without runs into a usage error.
fn usage(error: ExperimentError) -> anyhow::Error {
    match error {
        ExperimentError::NoMatchingRun { .. } => UsageError::new(format!("--only {error}")).into(),
        other => other.into(),
    }
}
