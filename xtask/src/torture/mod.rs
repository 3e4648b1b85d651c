//! `cargo xtask torture`: kills small runs at random moments until so many kills are survived.
//!
//! Each run is trained once undisturbed. Then it is started again and again and killed (SIGKILL) after a random time, until it
//! ends; it must end in the same network, the same evaluations and the same metrics. After each kill every checkpoint must be
//! whole, and at the end no temporary file may be left. Whoever reads the log of every second start goes away after a line.

mod case;

use anyhow::{Context, Result, bail, ensure};
use case::{CASES, Case, EVALUATE_EVERY};
use clap::Args;
use rand_core::Rng;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use stompp_rng::{Purpose, stream};
use stompp_train::MetricRecord;

/// What `cargo xtask torture` takes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Kills to survive
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Seed of the moments
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct TortureReport {
    kills: u32,
    /// Those in the middle of an evaluation.
    in_evaluations: u32,
    /// Starts whose log was read no more after a line.
    unread: u32,
    /// Kills after which a run did not go on.
    lost: u32,
    /// Runs that ended in another result.
    differing: u32,
    runs: u32,
    starts: u32,
}

/// Builds the command, tortures it and prints what came of it.
///
/// # Errors
/// If a run is lost or differs, or cannot be started at all.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stompp = build()?;
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
                start(&stompp, case, &whole)?.wait()?.success(),
                "{case} does not run at all"
            );
        }
        let killed = folder.path().join(format!("killed-{round}"));
        let left = options.kills - report.kills;
        torture(&stompp, case, &whole, &killed, left, &mut moments, &mut report)?;
        fs::remove_dir_all(&killed)?;
    }
    stompp_console::outln!(
        "{} kills survived in {} runs ({} kills inside of an evaluation, {} logs that nobody read on), {} lost, {} differing results; \
         {:.0} s, seed {}",
        report.kills - report.lost,
        report.runs,
        report.in_evaluations,
        report.unread,
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

/// One run, killed until it ends or there are no kills left; then it goes on to its end.
fn torture(
    stompp: &Path,
    case: &Case,
    whole: &Path,
    killed: &Path,
    most: u32,
    moments: &mut impl Rng,
    report: &mut TortureReport,
) -> Result<()> {
    let undisturbed = Duration::from_secs_f64(result(whole)?["seconds"].as_f64().unwrap_or(1.0));
    let mut kills = 0;
    let problem = loop {
        let mut child = start(stompp, case, killed)?;
        report.starts += 1;
        if report.starts.is_multiple_of(2) {
            report.unread += 1;
            std::thread::spawn({
                let log = child.stderr.take();
                move || log.map(|log| BufReader::new(log).lines().next())
            });
        }
        if kills < most {
            // Up to two thirds of the run, so that most runs are killed several times and some at their end.
            let moment = undisturbed.mul_f64(f64::from(moments.next_u32()) / f64::from(u32::MAX) * 0.67);
            std::thread::sleep(moment);
            child.kill()?;
        }
        let status = child.wait()?;
        match status.code() {
            None => {
                kills += 1;
                report.in_evaluations += u32::from(is_in_evaluation(killed));
            }
            Some(0) => break compare(whole, killed),
            Some(code) => break Err(anyhow::anyhow!("exit code {code} after kill {kills}")),
        }
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

/// Whether the evaluation after the newest checkpoint was begun and not told.
fn is_in_evaluation(run: &Path) -> bool {
    let Ok(standing) = stompp_train::RunStatus::read(run) else {
        return false; // Killed before anything was written.
    };
    let told = |metric: &MetricRecord| match metric {
        MetricRecord::Evaluation(evaluation) => evaluation.step >= standing.step,
        MetricRecord::Epoch(epoch) => epoch.step > standing.step,
        _ => false,
    };
    let due = standing.step > 0 && standing.step.is_multiple_of(EVALUATE_EVERY);
    due && MetricRecord::read(run).is_ok_and(|metrics| !metrics.iter().any(told))
}

/// Every checkpoint that a kill left must be readable.
fn whole_checkpoints(run: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else {
        return Ok(()); // Killed before the first.
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            stompp_train::checkpoint_step(&path, &fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Whether both runs ended in the same network, evaluations and metrics, and the killed one left no temporary file.
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

/// Kind and step of every line of the metrics that tells of training.
fn steps(run: &Path) -> Result<Vec<(String, u64)>> {
    let text = fs::read_to_string(run.join("metrics.jsonl"))?;
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let told =
        lines.map(|line| line.map(|line| (line["kind"].as_str().unwrap_or("").to_owned(), line["step"].as_u64())));
    let told = told.collect::<Result<Vec<_>, _>>()?;
    let told = told
        .into_iter()
        .filter(|(kind, _)| kind == "epoch" || kind == "evaluation");
    Ok(told.filter_map(|(kind, step)| Some((kind, step?))).collect())
}

fn start(stompp: &Path, case: &Case, out: &Path) -> Result<std::process::Child> {
    let mut command = Command::new(stompp);
    command.args(["train", "--out"]).arg(out).args(case.arguments());
    command.args(["--evaluate-every", &format!("{EVALUATE_EVERY}ba")]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().context("cannot start stompp")
}

/// The command, built from this tree.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "stompp-cli"]);
    command.current_dir(crate::workspace::root());
    ensure!(
        command.status().context("cannot start cargo")?.success(),
        "stompp cannot be built"
    );
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.target_directory.join("debug/stompp").into_std_path_buf())
}
