//! `reproduce`: run an experiment of the paper and print its table beside the published one.
//!
//! Invariants:
//! - **A table is made from run directories, never from memory**, and a finished run is never repeated or touched.
//! - **A published number stands in one place** ([`published`]); one that is not known shows as unknown.
//! - **Experiments are values** ([`experiment`]): what is run, shown and tested is one list of rows.

mod cell;
mod cost;
mod differences;
mod duration;
mod experiment;
mod figure;
mod files;
mod ledger;
mod options;
mod plan;
mod preset;
mod progress;
mod published;
mod report;
mod results;
mod row;
mod run_dir;
mod statistics;
mod sweep;
mod table1;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text_table;

use crate::usage::UsageError;
use anyhow::{Context, Result, bail};
use cell::Cell;
use ledger::{Entry, Ledger};
use std::fs::{File, TryLockError};
use std::path::Path;
use sweep::Runner;

pub(crate) use options::Options;

/// Runs the experiment that `options` names.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runner = |config: &_, dir: &_, watchers: &mut [&mut dyn stompp_train::Callback]| {
        stompp_train::train(config, dir, watchers).map(drop)
    };
    run_with(options, &runner)
}

fn run_with(options: &Options, runner: Runner<'_>) -> Result<()> {
    let (experiment, scale, out) = (options.experiment(), options.scale()?, options.out());
    let cells = experiment.cells(&scale);
    check_pattern(&cells, options)?;
    if options.dry_run {
        let ledger = Ledger::open(experiment, scale, &out)?;
        plan::show(options, &ledger);
        return plan::announce_cost(options, &ledger, runner);
    }

    check_images(&cells, options, runner)?;
    files::create_folder(&out)?;
    let _lock = lock(&out)?;
    let mut ledger = Ledger::open(experiment, scale, &out)?;
    let selected = |entry: &Entry| options.selects(&entry.cell);
    if !options.quiet {
        for (entry, reason) in ledger.refused().filter(|(entry, _)| selected(entry)) {
            eprintln!("{}: not run: {reason}", entry.cell.name());
        }
        plan::announce_cost(options, &ledger, runner)?;
    }
    sweep::run(&mut ledger, selected, |runs| options.share(runs), runner, options.quiet)?;
    results::write(&ledger)?;
    println!("{}", report::write(&ledger)?);
    figure::write(&ledger)?;
    if !options.quiet {
        let (table, results, figure) = (report::FILE, results::FILE, figure::FILE);
        eprintln!("Written to {table}, {results} and {figure} in {}", out.display());
    }
    conclude(&ledger, &selected)
}

/// Refuses a pattern that means no run.
fn check_pattern(cells: &[Cell], options: &Options) -> Result<()> {
    if cells.iter().any(|cell| options.selects(cell)) {
        return Ok(());
    }
    let names: Vec<_> = cells.iter().map(|cell| format!("  {}\n", cell.name())).collect();
    let only = options.only.as_deref().unwrap_or_default();
    Err(UsageError::new(format!("--only {only} means none of the runs:\n{}", names.concat())).into())
}

/// Tries the images of every selected run before anything is trained or written.
fn check_images(cells: &[Cell], options: &Options, runner: Runner<'_>) -> Result<()> {
    let mut tried = Vec::new();
    for config in cells
        .iter()
        .filter(|cell| options.selects(cell))
        .filter_map(Cell::config)
    {
        if config.data.path.is_some() && !tried.contains(&&config.data) {
            cost::rehearse(config, runner)?;
            tried.push(&config.data);
        }
    }
    Ok(())
}

/// Keeps two sweeps out of one folder for as long as the file is open.
fn lock(out: &Path) -> Result<File> {
    let path = out.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another `reproduce` is writing to {}", out.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// An error that names the selected runs that failed, or says that there was nothing to run.
fn conclude(ledger: &Ledger, selected: &dyn Fn(&Entry) -> bool) -> Result<()> {
    let failed: Vec<_> = ledger
        .failed()
        .map(|(entry, reason)| format!("  {}: {reason}", entry.cell.name()))
        .collect();
    if !failed.is_empty() {
        bail!(
            "{} of {} runs failed:\n{}",
            failed.len(),
            ledger.entries.len(),
            failed.join("\n")
        );
    }
    if !ledger.finished().any(|(entry, _)| selected(entry)) {
        bail!("none of the selected runs can be run");
    }
    Ok(())
}
