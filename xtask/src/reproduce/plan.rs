//! What would be done, and what it would cost, before it is done.

use super::duration::duration;
use super::ledger::{Ledger, Outcome};
use super::options::Options;
use super::preset::Preset;
use super::sweep::{Runner, cost};
use anyhow::Result;

/// `--dry-run`, `--status`: every selected run, how it stands and what would be done about it.
pub(super) fn show(options: &Options, ledger: &Ledger) {
    let (mut due, mut finished, mut all) = (0, 0, 0);
    for entry in options.selected(ledger) {
        let what = match &entry.outcome {
            Outcome::Pending => "to run".to_owned(),
            Outcome::Interrupted(step) => format!("to go on at step {step}, it was interrupted"),
            Outcome::Running(step) => format!("running elsewhere, beyond step {step}"),
            Outcome::Finished(_) => "finished".to_owned(),
            Outcome::Diverged(divergence) => divergence.to_string(),
            Outcome::Failed(reason) => format!("failed: {reason}"),
            Outcome::Refused(reason) => format!("not run: {reason}"),
        };
        due += usize::from(entry.is_due());
        finished += usize::from(entry.record().is_some());
        all += 1;
        stompp_console::outln!("{:60} {what}", entry.cell.name());
    }
    let share = options.share(due);
    stompp_console::outln!(
        "{finished} of {all} finished; {due} to run, {} at a time with {} thread(s) each, into {}",
        share.jobs,
        share.threads,
        options.folder().display()
    );
}

/// Says for the paper's own scale what the selected runs will cost on this machine, in rayon's current pool.
///
/// # Errors
/// As [`cost::measure`].
pub(super) fn announce_cost(options: &Options, ledger: &Ledger, runner: Runner<'_>) -> Result<()> {
    let due: Vec<_> = options
        .selected(ledger)
        .filter(|entry| entry.is_due())
        .filter_map(|entry| entry.cell.config())
        .collect();
    if ledger.scale.preset != Preset::Paper || due.is_empty() {
        return Ok(());
    }
    stompp_console::errln!("Timing a few steps of each network on this machine ...");
    let estimates = cost::measure(&due, runner)?;
    for estimate in &estimates {
        stompp_console::errln!("  {estimate}");
    }
    let total = estimates.iter().map(cost::Estimate::total).sum();
    stompp_console::errln!(
        "All {} runs together: about {}. Interrupt at any time: finished runs are kept.",
        due.len(),
        duration(total)
    );
    Ok(())
}
