//! Trains ResNet-18 on CIFAR-10 with four methods, in turns of five epochs, so that all methods are equally far when the time ends.
//!
//! Each turn runs `stompp train` on the same run directory. The process is stopped after the evaluation of the turn's last epoch. The
//! next turn resumes from the checkpoint, with the same bits as an uninterrupted run.

use crate::{
    bundle::{Bundle, Scale},
    process::{self, Budget, ProcessEnd},
    summary::{Evaluation, Method, Status, Training},
};
use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Name and options of each method.
pub(crate) const METHODS: [(&str, &[&str]); 4] = [
    ("ste-clipped", &["--method", "ste", "--activation-surrogate", "clipped"]),
    (
        "ste-identity",
        &["--method", "ste", "--activation-surrogate", "identity"],
    ),
    ("stompp", &["--method", "stompp"]),
    ("stompp-ste", &["--method", "stompp-ste"]),
];

/// Epochs per turn.
const TURN: u32 = 5;

/// Limit of the number of epochs if it is chosen automatically: the length of our `paper` preset.
const MOST_EPOCHS: u32 = 200;

/// The files of CIFAR-10: training images, then test images.
const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// Bytes of an image and its label.
const RECORD: u64 = 1 + 3 * 32 * 32;

/// A message about missing or incomplete files in `folder`, if any. A file that is still being copied is too short.
pub(crate) fn missing_data(folder: &Path, scale: &Scale) -> Option<String> {
    let inner = folder.join("cifar-10-batches-bin");
    let folder = if inner.is_dir() { inner } else { folder.to_owned() };
    let size = |file: &str| fs::metadata(folder.join(file)).map_or(0, |file| file.len());
    let absent = |file: &&str| size(file) != RECORD * scale.images_per_file;
    let files: Vec<&str> = FILES.into_iter().filter(absent).collect();
    (!files.is_empty()).then(|| format!("missing or incomplete in {}: {}", folder.display(), files.join(", ")))
}

/// Returns the command of the run that measures the speed, and the path of its result. It uses straight-through gradients, the
/// slowest case: everything stays on the tape.
pub(crate) fn speed_run(bundle: &Bundle, work: &Path) -> (Command, PathBuf) {
    let (scale, out) = (bundle.scale(), work.join("runs/speed"));
    let mut command = bundle.program("stompp");
    command.args([
        "train",
        "--device",
        "cuda",
        "--quiet",
        "--no-diagnostics",
        "--fresh",
        "--force",
        "--out",
    ]);
    command
        .arg(&out)
        .args(["--method", "ste"])
        .args(scale.network)
        .args(scale.speed_run_options);
    (command, out.join("result.json"))
}

/// Seconds of an epoch with its share of the evaluations, from the result of [`speed_run`].
pub(crate) fn epoch_seconds(result: &Path, scale: &Scale) -> Result<f64> {
    let text = fs::read(result).with_context(|| format!("reading {}", result.display()))?;
    let result: serde_json::Value = serde_json::from_slice(&text)?;
    let speed = result["images_per_s"].as_f64().filter(|speed| *speed > 0.0);
    let speed = speed.context("the run that measures speed has no images_per_s")?;
    let images = scale.images_per_file as f64;
    // 10 % for slower turns. An evaluation is two forward passes over the test images, each a third of a training step.
    Ok((1.1 * 5.0 * images + images * (2.0 / 3.0) / f64::from(TURN)) / speed)
}

/// The number of epochs that every method can train within `left`, in whole turns.
pub(crate) fn epochs_that_fit(left: Duration, epoch_s: f64, start_s: f64) -> u32 {
    let turn_s = METHODS.len() as f64 * (f64::from(TURN) * epoch_s + start_s);
    let turns = (left.as_secs_f64() / turn_s).floor() as u32;
    TURN * turns.clamp(1, MOST_EPOCHS / TURN)
}

/// The run directory of a method.
pub(crate) fn run_dir(work: &Path, method: &str) -> PathBuf {
    work.join("runs").join(method)
}

/// Updates the progress of all methods from the files of their runs.
pub(crate) fn update_progress(work: &Path, training: &mut Training) {
    let method = |(name, _): (&str, &[&str])| {
        let run = run_dir(work, name);
        Method {
            name: name.to_owned(),
            finished: run.join("result.json").is_file(),
            evaluations: evaluations(&run),
        }
    };
    training.methods = METHODS.into_iter().map(method).collect();
    training.common_epoch = training.methods.iter().map(last_epoch).min().unwrap_or(0);
}

/// The last evaluated epoch of a method.
fn last_epoch(method: &Method) -> u32 {
    method
        .evaluations
        .last()
        .map_or(0, |evaluation| evaluation.epoch.round() as u32)
}

/// The evaluations of a run so far. Incomplete lines are skipped.
fn evaluations(run: &Path) -> Vec<Evaluation> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    // Other lines may be long, so they are not parsed.
    let told = text.lines().filter(|line| line.contains(r#""kind":"evaluation""#));
    told.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Trains until every method has finished, or the time ends. Returns the status and a reason.
///
/// # Errors
/// Returns an error if a process cannot be started, a log cannot be written, or `turn_ended` fails.
pub(crate) fn train(
    bundle: &Bundle,
    work: &Path,
    data: &Path,
    training: &mut Training,
    budget: &Budget,
    mut turn_ended: impl FnMut(&Training) -> Result<()>,
) -> Result<(Status, Option<String>)> {
    let mut failed: Vec<(&str, i32)> = Vec::new();
    for target in (TURN..training.epochs + TURN).step_by(TURN as usize) {
        let target = target.min(training.epochs);
        for (name, options) in METHODS {
            let run = run_dir(work, name);
            let reached = || {
                evaluations(&run)
                    .last()
                    .is_some_and(|last| last.epoch.round() as u32 >= target)
            };
            let finished = run.join("result.json").is_file();
            if finished || (reached() && target < training.epochs) || failed.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let last = target == training.epochs;
            let mut command = command(bundle, &run, data, training.epochs, options);
            let log = work.join("logs").join(format!("train-{name}.log"));
            let ending = process::run(&mut command, &log, Duration::MAX, budget, &mut || !last && reached())?;
            update_progress(work, training);
            turn_ended(training)?;
            match ending {
                ProcessEnd::Exited(0) | ProcessEnd::Stopped => {}
                ProcessEnd::CutOff | ProcessEnd::TimedOut => return Ok((Status::CutOff, None)),
                // The other methods continue. The next call resumes this one.
                ProcessEnd::Exited(code) => failed.push((name, code)),
            }
        }
    }
    let told = failed
        .iter()
        .map(|(name, code)| format!("{name} ended with exit code {code}"));
    let told = told.collect::<Vec<_>>().join("; ");
    match failed.is_empty() {
        true => Ok((Status::Passed, None)),
        false => Ok((Status::Failed, Some(told))),
    }
}

fn command(bundle: &Bundle, run: &Path, data: &Path, epochs: u32, options: &[&str]) -> Command {
    let mut command = bundle.program("stompp");
    command.args(["train", "--device", "cuda", "--quiet", "--dataset", "cifar10", "--data"]);
    command.arg(data).arg("--out").arg(run);
    let every = format!("{TURN}ep");
    command.args([
        "--evaluate-every",
        &every,
        "--diagnostics",
        &every,
        "--checkpoint-every",
        &every,
    ]);
    let steps: OsString = format!("{epochs}ep").into();
    command.args(["--keep-last", "1", "--seed", "0", "--steps"]).arg(steps);
    command.args(bundle.scale().network).args(options);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_fill_the_time_in_whole_turns() {
        let fit = |seconds, epoch_s| epochs_that_fit(Duration::from_secs(seconds), epoch_s, 6.0);
        // A turn of four methods: 4 (5 x 6 + 6) = 144 s.
        assert_eq!(fit(144 * 3, 6.0), 15);
        assert_eq!(fit(144 * 4 - 1, 6.0), 15);
        assert_eq!(fit(10, 6.0), 5, "never less than a turn");
        assert_eq!(fit(1_000_000, 6.0), 200, "nor more than is worth it");
    }
}
