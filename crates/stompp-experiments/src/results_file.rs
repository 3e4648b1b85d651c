//! Writes `results.json` and `timings.json`. `results.json` has the rows, differences and claims of every experiment, every run with the
//! main fields of its configuration, and the names of missing runs. `timings.json` has the time and the machine of each run.
//!
//! **`results.json` depends only on seeds, code, configuration and the kind of processor**: it has no times, so a sweep that was killed
//! and resumed ends in the same bytes. Its keys are older than the names in this crate: `cell` is a run, `findings` are claims, `verdict`
//! is the outcome of a claim, `refused` are skipped runs.

use crate::claim::ClaimTest;
use crate::error::{Result, io_error};
use crate::experiment::Experiment;
use crate::files;
use crate::row::Row;
use crate::run_dir::FinishedRun;
use crate::run_index::{RunEntry, RunIndex, RunStatus};
use crate::statistics::Summary;
use serde_json::{Value, json};
use std::path::Path;
use stompp_train::RunConfig;

/// File name of the results.
pub const RESULTS: &str = "results.json";

/// File name of the timings.
pub(crate) const TIMINGS: &str = "timings.json";

/// Writes both files into `folder`, each atomically.
///
/// # Errors
/// Returns [`ExperimentError::Io`](crate::ExperimentError::Io) if a file cannot be written, and the errors of the experiments' claims.
pub(crate) fn write(experiments: &[Experiment], index: &RunIndex, folder: &Path) -> Result<()> {
    for (file, value) in [(RESULTS, results(experiments, index)?), (TIMINGS, timings(index))] {
        let path = folder.join(file);
        let text = serde_json::to_string_pretty(&value).map_err(|error| io_error("write", &path)(error.into()))?;
        files::replace(&path, text + "\n")?;
    }
    Ok(())
}

/// Makes the content of `results.json`. Accuracies are top-1 of the deploy network in percent, differences are in points.
fn results(experiments: &[Experiment], index: &RunIndex) -> Result<Value> {
    let reason = |(entry, reason): (&RunEntry, &str)| json!({"cell": entry.spec.name(), "reason": reason});
    let cells: Vec<_> = index
        .finished()
        .filter_map(|(entry, run)| Some(cell(entry, entry.spec.config()?, run)))
        .collect();
    let mut published = experiments
        .iter()
        .filter_map(|experiment| experiment.published.as_ref());
    Ok(json!({
        "preset": index.setup.name,
        "published_source": published.next().map(|published| &published.source),
        "experiments": experiments
            .iter()
            .map(|of| experiment(of, index))
            .collect::<Result<Vec<_>>>()?,
        "cells": cells,
        "failed": index.failed().map(reason).collect::<Vec<_>>(),
        "diverged": index.diverged().map(|(entry, divergence)| json!({
            "cell": entry.spec.name(),
            "step": divergence.step,
            "reason": divergence.reason,
        })).collect::<Vec<_>>(),
        "refused": index.skipped().map(reason).collect::<Vec<_>>(),
        "pending": index.entries.iter().filter_map(pending).map(reason).collect::<Vec<_>>(),
    }))
}

/// A run that has not ended yet, with the reason.
fn pending(entry: &RunEntry) -> Option<(&RunEntry, &str)> {
    let reason = match entry.status {
        RunStatus::Pending => "not run yet",
        RunStatus::Interrupted(_) => "interrupted",
        RunStatus::Running(_) => "another process is at it",
        _ => return None,
    };
    Some((entry, reason))
}

fn experiment(experiment: &Experiment, index: &RunIndex) -> Result<Value> {
    let results = experiment.results(index);
    let measured = |row: &Row| {
        let top1 = results.top1(row);
        json!({
            "row": title(row),
            "top1": top1.values().collect::<Vec<_>>(),
            "n": top1.n(),
            "mean": top1.mean(),
            "standard_deviation": top1.deviation(),
            "published": experiment.published_top1(row),
        })
    };
    let difference = |summary: Option<Summary>| {
        summary.map(|Summary { n, mean, interval }| json!({"n": n, "mean": mean, "interval": interval}))
    };
    Ok(json!({
        "experiment": experiment.name,
        "rows": results.rows().iter().map(measured).collect::<Vec<_>>(),
        "differences": results.contrasts().iter().map(|contrast| json!({
            "row": title(&contrast.row),
            "baseline": title(&contrast.baseline),
            "difference": difference(results.difference(contrast)),
            "published": contrast.published,
        })).collect::<Vec<_>>(),
        "findings": (experiment.claims)(&results)?.into_iter().map(|ClaimTest { claim, outcome, evidence }| json!({
            "claim": claim,
            "verdict": outcome.to_string(),
            "evidence": evidence,
        })).collect::<Vec<_>>(),
    }))
}

fn title(row: &Row) -> String {
    format!("{}, {}", row.network_and_images(), row.method_title())
}

/// Makes the entry of one run. `run_dir` is relative to the folder of the setup.
fn cell(entry: &RunEntry, config: &RunConfig, run: &FinishedRun) -> Value {
    let (row, result) = (&entry.spec.row, &run.result);
    json!({
        "cell": entry.spec.name(),
        "network": row.network.to_string(),
        "dataset": row.images.name(),
        "setting": row.setting.name(),
        "method": row.variant.method().name(),
        "order": row.variant.order().map(|order| order.name()),
        "curve": config.method.curve.name(),
        "refresh": config.method.refresh.to_string(),
        "activation_surrogate": row.surrogate().map(|surrogate| surrogate.name()),
        "weight_surrogate": row.variant.surrogate().map(|_| config.method.weight_surrogate.name()),
        "learning_rate": config.training.learning_rate,
        "seed": entry.spec.seed,
        "top1": result.top1,
        "top1_as_it_stands": result.top1_as_it_stands,
        "steps": result.steps,
        "batch_size": config.training.batch_size,
        "train_images": result.train_images,
        "test_images": result.test_images,
        "image_size": config.data.image_size,
        "width": config.network.width,
        "run_dir": format!("runs/{}", entry.spec.name()),
        "revision": run.run.code.revision,
        "cpu": run.run.machine.cpu,
    })
}

fn timings(index: &RunIndex) -> Value {
    let cells: Vec<_> = index
        .finished()
        .map(|(entry, run)| {
            json!({
                "cell": entry.spec.name(),
                "started": run.run.started,
                "seconds": run.result.seconds,
                "images_per_s": run.result.images_per_s,
                "machine": run.run.machine,
            })
        })
        .collect();
    json!({ "cells": cells })
}
