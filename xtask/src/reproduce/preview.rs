//! The status and the estimated cost of a sweep, before it begins.

use anyhow::Result;
use stompp_experiments::{CostEstimate, Preset, RunStatus, Sweep, TrainFn, duration};

/// Prints every selected run with its status, for `--dry-run` and `--status`.
pub(super) fn show(sweep: &Sweep) {
    let (mut due, mut finished, mut all) = (0, 0, 0);
    for entry in sweep.selected() {
        let status = match entry.status() {
            RunStatus::Pending => "to run".to_owned(),
            RunStatus::Interrupted(step) => format!("interrupted; resumes at step {step}"),
            RunStatus::Running(step) => format!("running elsewhere, beyond step {step}"),
            RunStatus::Finished(_) => "finished".to_owned(),
            RunStatus::Diverged(divergence) => divergence.to_string(),
            RunStatus::Failed(reason) => format!("failed: {reason}"),
            RunStatus::Skipped(reason) => format!("not run: {reason}"),
        };
        due += usize::from(entry.is_due());
        finished += usize::from(entry.finished_run().is_some());
        all += 1;
        stompp_console::outln!("{:60} {status}", entry.spec().name());
    }
    let parallelism = sweep.parallelism(due);
    stompp_console::outln!(
        "{finished} of {all} finished; {due} to run, {} at a time with {} thread(s) each, into {}",
        parallelism.jobs,
        parallelism.threads,
        sweep.report_folder().display()
    );
}

/// Prints the runs that are skipped, each with the reason.
pub(super) fn announce_skipped(sweep: &Sweep) {
    for (entry, reason) in sweep.skipped() {
        stompp_console::errln!("{}: not run: {reason}", entry.spec().name());
    }
}

/// Prints how long the selected runs will take on this machine, at preset `paper` only. Times steps in rayon's current thread pool.
///
/// # Errors
/// The errors of [`Sweep::estimate_cost`].
pub(super) fn announce_cost(sweep: &Sweep, train: TrainFn<'_>) -> Result<()> {
    let due = sweep.selected().filter(|entry| entry.is_due()).count();
    if sweep.setup().preset != Preset::Paper || due == 0 {
        return Ok(());
    }
    stompp_console::errln!("Timing a few steps of each network on this machine ...");
    let estimates = sweep.estimate_cost(train)?;
    for estimate in &estimates {
        stompp_console::errln!("  {estimate}");
    }
    let total = estimates.iter().map(CostEstimate::total_seconds).sum();
    stompp_console::errln!(
        "All {due} runs together: about {}. Interrupt at any time: finished runs are kept.",
        duration(total)
    );
    Ok(())
}
