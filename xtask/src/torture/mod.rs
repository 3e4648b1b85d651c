//! `cargo xtask torture`: kills small runs at random moments, and checks that they survive a given number of kills.
//!
//! Each run is first trained without kills. Then it is started again and again and killed (SIGKILL) after a random time, until it
//! ends. It must end with the same network, the same evaluations and the same metrics. After each kill every checkpoint must be
//! readable, and at the end no temporary file may be left. At every second start, the reader of the log stops after one line.
//!
//! With `--ranks`, the run that is killed has several processes, of which a random one is killed. The others must end, too.

mod case;
mod process;

use anyhow::{Context, Result, bail, ensure};
use case::{CASES, Case, EVALUATE_EVERY};
use clap::Args;
use process::{Death, Training};
use rand_core::Rng;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use stompp_rng::{Purpose, stream};
use stompp_train::MetricRecord;

/// Options of `cargo xtask torture`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Number of kills to survive
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Seed of the random moments
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of processes of each run that is killed: a power of two. With several, mpirun starts them, and a random one is killed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = ranks)]
    ranks: usize,
}

fn ranks(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(ranks) if usize::is_power_of_two(ranks) && ranks <= 16 => Ok(ranks),
        _ => Err("expected 1, 2, 4, 8 or 16".to_owned()),
    }
}

/// The result of all kills.
#[derive(Debug, Default)]
struct TortureReport {
    kills: u32,
    /// Kills in the middle of an evaluation.
    in_evaluations: u32,
    /// Starts whose log was not read after its first line.
    unread: u32,
    /// Kills after which `mpirun` crashed.
    launcher_crashes: u32,
    /// Kills after which a run did not resume.
    lost: u32,
    /// Runs that ended with another result.
    differing: u32,
    runs: u32,
    starts: u32,
}

/// Builds `stompp`, kills its runs and prints the result.
///
/// # Errors
/// Returns an error if a run is lost, differs, or cannot be started at all.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stompp = build(options.ranks > 1)?;
    let folder = tempfile::tempdir().context("cannot make a folder for the runs")?;
    let mut moments = stream(options.seed, Purpose::new(*b"torture\0"), 0, 0);
    let mut report = TortureReport::default();
    let begun = Instant::now();
    for round in 0.. {
        if report.kills >= options.kills {
            break;
        }
        let case = &CASES[round % CASES.len()];
        let whole = folder.path().join(format!("whole-{}", round % CASES.len()));
        if !whole.exists() {
            ensure!(
                Training::start(&stompp, case, &whole, [1, options.ranks])?
                    .wait()?
                    .success(),
                "{case} does not run at all"
            );
        }
        let killed = folder.path().join(format!("killed-{round}"));
        let left = options.kills - report.kills;
        let limits = (left, options.ranks);
        torture(&stompp, case, &whole, &killed, limits, &mut moments, &mut report)?;
        fs::remove_dir_all(&killed)?;
    }
    stompp_console::outln!(
        "{} kills survived in {} runs of {} processes ({} kills inside of an evaluation, {} logs that nobody read on, {} crashes of mpirun), \
         {} lost, {} differing results; {:.0} s, seed {}",
        report.kills - report.lost,
        report.runs,
        options.ranks,
        report.in_evaluations,
        report.unread,
        report.launcher_crashes,
        report.lost,
        report.differing,
        begun.elapsed().as_secs_f64(),
        options.seed
    );
    if report.lost + report.differing > 0 {
        bail!("not every kill was survived");
    }
    Ok(())
}

/// Kills one run until it ends. After `most` kills, it runs to its end.
fn torture(
    stompp: &Path,
    case: &Case,
    whole: &Path,
    killed: &Path,
    (most, ranks): (u32, usize),
    moments: &mut impl Rng,
    report: &mut TortureReport,
) -> Result<()> {
    let undisturbed = Duration::from_secs_f64(result(whole)?["seconds"].as_f64().unwrap_or(1.0));
    let mut kills = 0;
    let problem = loop {
        let mut training = Training::start(stompp, case, killed, [ranks, ranks])?;
        report.starts += 1;
        if report.starts.is_multiple_of(2) {
            report.unread += 1;
            std::thread::spawn({
                let log = training.take_log();
                move || log.map(|log| BufReader::new(log).lines().next())
            });
        }
        if kills < most {
            // At most two thirds of the run, so that most runs are killed several times, and some near their end.
            let moment = undisturbed.mul_f64(f64::from(moments.next_u32()) / f64::from(u32::MAX) * 0.67);
            training.kill_after(moment, moments)?;
        }
        let status = training.wait()?;
        if status.success() {
            break compare(whole, killed);
        }
        match training.death(status) {
            Ok(Some(death)) => report.launcher_crashes += u32::from(death == Death::LauncherCrashed),
            Ok(None) => break Err(anyhow::anyhow!("{status} after kill {kills}")),
            Err(error) => break Err(error),
        }
        kills += 1;
        report.in_evaluations += u32::from(is_in_evaluation(killed));
        if let Err(error) = whole_checkpoints(killed) {
            break Err(error);
        }
    };
    report.kills += kills;
    report.runs += 1;
    match problem {
        Ok(true) => stompp_console::outln!("{case}: {kills} kills, the same result"),
        Ok(false) => {
            report.differing += 1;
            stompp_console::outln!("{case}: {kills} kills, ANOTHER RESULT");
        }
        Err(error) => {
            report.lost += 1;
            stompp_console::outln!("{case}: LOST after {kills} kills: {error:#}");
        }
    }
    Ok(())
}

/// Returns whether the evaluation after the newest checkpoint was due but is not in the metrics.
fn is_in_evaluation(run: &Path) -> bool {
    let Ok(status) = stompp_train::RunStatus::read(run) else {
        return false; // The run was killed before it wrote anything.
    };
    let logged = |metric: &MetricRecord| match metric {
        MetricRecord::Evaluation(evaluation) => evaluation.step >= status.step,
        MetricRecord::Epoch(epoch) => epoch.step > status.step,
        _ => false,
    };
    let due = status.step > 0 && status.step.is_multiple_of(EVALUATE_EVERY);
    due && MetricRecord::read(run).is_ok_and(|metrics| !metrics.iter().any(logged))
}

/// Checks that every checkpoint is readable.
fn whole_checkpoints(run: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else {
        return Ok(()); // The run was killed before its first checkpoint.
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            stompp_train::checkpoint_step(&path, &fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Returns whether both runs ended with the same network, evaluations and metrics.
///
/// # Errors
/// Returns an error if the killed run left a temporary file, or if a file cannot be read.
fn compare(whole: &Path, killed: &Path) -> Result<bool> {
    for folder in [killed.to_owned(), killed.join("checkpoints")] {
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            ensure!(!name.to_string_lossy().starts_with('.'), "{} was left", name.display());
        }
    }
    whole_checkpoints(killed)?;
    let network = |run: &Path| fs::read(run.join("network.safetensors"));
    Ok(network(whole)? == network(killed)?
        && result(whole)?["evaluations"] == result(killed)?["evaluations"]
        && steps(whole)? == steps(killed)?)
}

fn result(run: &Path) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&fs::read(run.join("result.json"))?)?)
}

/// Kind and step of every epoch and evaluation in the metrics.
fn steps(run: &Path) -> Result<Vec<(String, u64)>> {
    let text = fs::read_to_string(run.join("metrics.jsonl"))?;
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let logged =
        lines.map(|line| line.map(|line| (line["kind"].as_str().unwrap_or("").to_owned(), line["step"].as_u64())));
    let logged = logged.collect::<Result<Vec<_>, _>>()?;
    let logged = logged
        .into_iter()
        .filter(|(kind, _)| kind == "epoch" || kind == "evaluation");
    Ok(logged.filter_map(|(kind, step)| Some((kind, step?))).collect())
}

/// Builds `stompp` from this workspace, for several processes if `mpi` is set, and returns its path.
fn build(mpi: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "stompp-cli"]);
    if mpi {
        command.args(["--features", "mpi"]);
    }
    command.current_dir(crate::workspace::root());
    ensure!(
        command.status().context("cannot start cargo")?.success(),
        "stompp cannot be built"
    );
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.target_directory.join("debug/stompp").into_std_path_buf())
}
