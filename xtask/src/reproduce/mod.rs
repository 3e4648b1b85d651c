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
use crate::workspace;
use anyhow::{Context, Result, bail};
use cell::Cell;
use clap::Args;
use clap::builder::PossibleValuesParser;
use duration::duration;
use ledger::{Entry, Ledger, Outcome};
use preset::{Preset, Scale};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use sweep::{Runner, Share};

/// Options of `reproduce`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which table
    #[arg(value_parser = PossibleValuesParser::new(experiment::ALL.iter().map(|experiment| experiment.name)))]
    experiment: String,
    /// How large its runs are
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,
    /// Folder with CIFAR in its binary version (or with the folders cifar-10-batches-bin and cifar-100-binary), or the
    /// official archive. Without it, smoke runs on a synthetic set
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Where results go [default: target/reproduce/EXPERIMENT in the workspace]. Runs that are finished there already are
    /// not repeated
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Only runs whose name has all these words, such as `resnet20,stompp` or `seed0,*ste*` (`--dry-run` shows the names)
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Number of seeds: 0 to N-1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Say what would be run, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Runs at a time [default: one a core; one with --preset paper]. They share the cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print the table alone
    #[arg(long)]
    quiet: bool,
}

impl Options {
    /// Whether `--only` leaves this cell.
    fn selects(&self, cell: &Cell) -> bool {
        self.only.as_ref().is_none_or(|only| cell.matches(only))
    }
}

/// Runs the experiment that `options` names.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runner = |config: &_, dir: &_, watchers: &mut [&mut dyn stompp_train::Callback]| {
        stompp_train::train(config, dir, watchers).map(drop)
    };
    run_with(options, &runner)
}

fn run_with(options: &Options, runner: Runner<'_>) -> Result<()> {
    let experiment = *experiment::ALL
        .iter()
        .find(|experiment| experiment.name == options.experiment)
        .expect("the command line takes no other name");
    let scale = scale(options)?;
    let out = match &options.out {
        Some(out) => out.clone(),
        None => workspace::root().join("target/reproduce").join(experiment.name),
    };
    let cells = experiment.cells(&scale);
    check_pattern(&cells, options)?;
    let selected = |entry: &Entry| options.selects(&entry.cell);
    if options.dry_run {
        return plan(options, &Ledger::open(experiment, scale, &out)?, &selected, runner);
    }

    check_images(&cells, options, runner)?;
    files::create_folder(&out)?;
    let _lock = lock(&out)?;
    let mut ledger = Ledger::open(experiment, scale, &out)?;
    if !options.quiet {
        announce(&ledger, &selected, runner)?;
    }
    let share = |runs| share(options, runs);
    sweep::run(&mut ledger, selected, share, runner, options.quiet)?;
    results::write(&ledger)?;
    println!("{}", report::write(&ledger)?);
    figure::write(&ledger)?;
    if !options.quiet {
        let (table, results, figure) = (report::FILE, results::FILE, figure::FILE);
        eprintln!("Written to {table}, {results} and {figure} in {}", out.display());
    }
    conclude(&ledger, &selected)
}

/// Size, images and seeds; the path of the images is made absolute, so that it means the same from everywhere.
fn scale(options: &Options) -> Result<Scale> {
    let data = match &options.data {
        Some(path) => Some(
            path.canonicalize()
                .with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None if options.preset.needs_data() => {
            return Err(UsageError::new(format!(
                "preset {} needs --data PATH: a folder or archive with CIFAR in its binary version \
                 (https://www.cs.toronto.edu/~kriz/cifar.html). Preset smoke runs without",
                options.preset
            ))
            .into());
        }
        None => None,
    };
    Ok(Scale {
        preset: options.preset,
        data,
        seeds: options.seeds,
    })
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

fn share(options: &Options, runs: usize) -> Share {
    let cores = available_parallelism().map_or(1, usize::from);
    let default = if options.preset.one_at_a_time() { 1 } else { cores };
    Share::of(cores, options.jobs.map_or(default, usize::from), runs)
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

/// `--dry-run`: every selected run and what would be done about it.
fn plan(options: &Options, ledger: &Ledger, selected: &dyn Fn(&Entry) -> bool, runner: Runner<'_>) -> Result<()> {
    let mut due = 0;
    for entry in ledger.entries.iter().filter(|entry| selected(entry)) {
        let what = match &entry.outcome {
            Outcome::Pending => "to run".to_owned(),
            Outcome::Interrupted => "to run again, it was interrupted".to_owned(),
            Outcome::Finished(_) => "finished".to_owned(),
            Outcome::Failed(reason) => format!("failed: {reason}"),
            Outcome::Refused(reason) => format!("not run: {reason}"),
        };
        due += usize::from(matches!(entry.outcome, Outcome::Pending | Outcome::Interrupted));
        println!("{:60} {what}", entry.cell.name());
    }
    let share = share(options, due);
    println!(
        "{due} to run, {} at a time with {} thread(s) each, into {}",
        share.jobs,
        share.threads,
        ledger.out.display()
    );
    announce(ledger, selected, runner)
}

/// Says which runs are refused, and for the paper's own scale what the others will cost on this machine.
fn announce(ledger: &Ledger, selected: &dyn Fn(&Entry) -> bool, runner: Runner<'_>) -> Result<()> {
    let mut due = Vec::new();
    for entry in ledger.entries.iter().filter(|entry| selected(entry)) {
        match &entry.outcome {
            Outcome::Refused(reason) => eprintln!("{}: not run: {reason}", entry.cell.name()),
            Outcome::Pending | Outcome::Interrupted => due.extend(entry.cell.config()),
            Outcome::Finished(_) | Outcome::Failed(_) => {}
        }
    }
    if ledger.scale.preset != Preset::Paper || due.is_empty() {
        return Ok(());
    }
    eprintln!("Timing a few steps of each network on this machine ...");
    let estimates = cost::measure(&due, runner)?;
    for estimate in &estimates {
        eprintln!("  {estimate}");
    }
    let total = estimates.iter().map(cost::Estimate::total).sum();
    eprintln!(
        "All {} runs together: about {}. Interrupt at any time: finished runs are kept.",
        due.len(),
        duration(total)
    );
    Ok(())
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
