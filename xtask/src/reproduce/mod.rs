//! `reproduce`: run experiments of the paper and tell what they found, beside what is published.
//!
//! Invariants:
//! - **A table is made from run directories, never from memory**, and a finished run is never repeated or touched.
//! - **A published number stands in one place** ([`published`]); one that is not known shows as unknown.
//! - **Experiments are values** ([`experiments`]): what is run, compared, claimed and drawn is one list of rows and what is asked of
//!   them. Experiments share their runs.

pub(crate) mod archive;
mod cell;
pub(crate) mod document;
mod duration;
mod experiments;
mod files;
mod finding;
mod knob;
mod ledger;
mod merge;
mod options;
mod plan;
mod preset;
mod published;
mod recipe;
mod report;
mod results;
mod row;
mod run_dir;
mod statistics;
mod study;
mod sweep;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crate::usage::UsageError;
use anyhow::{Context, Result, bail};
use experiments::Experiment;
use ledger::{Entry, Ledger};
use preset::Scale;
use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};
use stompp_console::signals;
use stompp_train::config::Time;
use stompp_train::{Callback, Checkpointing, DataError, RunConfig, Session, Start, TrainError};
use study::Study;
use sweep::{Runner, cost};

pub(crate) use options::Options;
pub(crate) use sweep::Stopped;

/// Runs the experiment that `options` names.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stop = signals::stop_flag().context("cannot watch for signals")?;
    run_with(options, options.scale()?, &|config, dir, callbacks| {
        train(config, dir, callbacks, &stop)
    })
}

/// Trains a run, from its beginning or from where it stands, until its end or until `stop` is set.
fn train(
    config: &RunConfig,
    dir: &Path,
    callbacks: &mut [&mut dyn Callback],
    stop: &Arc<AtomicBool>,
) -> Result<(), TrainError> {
    let session = Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        diagnostics: Some(Time::Share(2.0)),
        stop: Arc::clone(stop),
        ..Session::default()
    };
    session.train(config, dir, callbacks).map(drop)
}

fn run_with(options: &Options, scale: Scale, runner: Runner<'_>) -> Result<()> {
    let (experiments, out) = (options.experiments(), options.out());
    let mut ledger = Ledger::open(&experiments, scale, &out, options.archive())?;
    check_pattern(&ledger, options)?;
    if options.dry_run {
        plan::show(options, &ledger);
        return plan::announce_cost(options, &ledger, runner);
    }

    let book = Book { experiments, options };
    if options.merge.is_empty() {
        leave_out_missing_images(&mut ledger, options, runner)?;
        files::create_folder(&options.folder())?;
        if !options.quiet {
            for (entry, reason) in ledger.refused() {
                stompp_console::errln!("{}: not run: {reason}", entry.cell.name());
            }
            plan::announce_cost(options, &ledger, runner)?;
        }
        let selected: HashSet<String> = options.selected(&ledger).map(|entry| entry.cell.name()).collect();
        let selected = |entry: &Entry| selected.contains(&entry.cell.name());
        let share = |runs| options.share(runs);
        sweep::run(&mut ledger, selected, share, runner, options.quiet, |ledger| {
            book.note(ledger)
        })?;
    } else {
        files::create_folder(&options.folder())?;
        let taken = merge::take(&mut ledger, &options.merge, &out)?;
        if !options.quiet {
            stompp_console::errln!("{taken} finished runs taken");
        }
    }
    stompp_console::outln!("{}", book.write(&mut ledger)?);
    if !options.quiet {
        stompp_console::errln!("Written to {}: open {}", options.folder().display(), report::FILE);
    }
    conclude(&ledger, options)
}

/// The experiments that are asked for, and where and how they are told.
struct Book<'a> {
    experiments: Vec<&'static Experiment>,
    options: &'a Options,
}

impl Book<'_> {
    /// Writes the results as far as they are there.
    fn note(&self, ledger: &mut Ledger) -> Result<()> {
        let folder = self.options.folder();
        // Of several sweeps the one that writes last has seen what all have finished.
        let _lock = lock(&folder)?;
        ledger.refresh()?;
        ledger.archive()?;
        results::write(ledger, &self.studies(ledger), &folder)
    }

    /// Writes everything and returns the tables for a terminal.
    fn write(&self, ledger: &mut Ledger) -> Result<String> {
        self.note(ledger)?;
        report::write(&self.studies(ledger), self.options)
    }

    fn studies<'a>(&self, ledger: &'a Ledger) -> Vec<Study<'a>> {
        let experiments = self.experiments.iter();
        experiments.map(|experiment| Study::new(experiment, ledger)).collect()
    }
}

/// Refuses a pattern that means no run.
fn check_pattern(ledger: &Ledger, options: &Options) -> Result<()> {
    if ledger.entries.iter().any(|entry| options.selects(&entry.cell)) {
        return Ok(());
    }
    let names = ledger.entries.iter().map(|entry| format!("  {}\n", entry.cell.name()));
    let only = options.only.as_deref().unwrap_or_default();
    let names: String = names.collect();
    Err(UsageError::new(format!("--only {only} means none of the runs:\n{names}")).into())
}

/// Tries the images of every selected run before anything is trained or written. Runs on a data set that is not there are left out,
/// unless none is.
///
/// # Errors
/// If no data set is there, or one cannot be read.
fn leave_out_missing_images(ledger: &mut Ledger, options: &Options, runner: Runner<'_>) -> Result<()> {
    let mut tried: Vec<RunConfig> = Vec::new();
    for config in options.selected(ledger).filter_map(|entry| entry.cell.config()) {
        if config.data.path.is_some() && !tried.iter().any(|other| same_images(other, config)) {
            tried.push(config.clone());
        }
    }
    let mut missing = Vec::new();
    let mut first = None;
    for config in &tried {
        match cost::rehearse(config, runner) {
            Err(error) if is_missing(&error) => {
                missing.push((config, format!("its images are not there: {error:#}")));
                first.get_or_insert(error);
            }
            outcome => drop(outcome?),
        }
    }
    if let Some(error) = first
        && missing.len() == tried.len()
    {
        return Err(error);
    }
    for entry in &mut ledger.entries {
        let of_entry = |config: &RunConfig| entry.cell.config().is_some_and(|own| same_images(own, config));
        if let Some((_, reason)) = missing.iter().find(|(config, _)| of_entry(config)) {
            entry.refuse(reason.clone());
        }
    }
    Ok(())
}

fn same_images(one: &RunConfig, other: &RunConfig) -> bool {
    (one.data.dataset, &one.data.path) == (other.data.dataset, &other.data.path)
}

/// Whether a data set is not where it was looked for, while another may be.
fn is_missing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(TrainError::Data(DataError::MissingFile { .. }))
    )
}

/// Waits until no other process writes reports to `folder`, and keeps them waiting for as long as the file is open.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// An error that names the selected runs that failed, or says that there was nothing to run.
fn conclude(ledger: &Ledger, options: &Options) -> Result<()> {
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
    if options
        .selected(ledger)
        .all(|entry| matches!(entry.outcome, ledger::Outcome::Refused(_)))
    {
        bail!("none of the selected runs can be run");
    }
    Ok(())
}
