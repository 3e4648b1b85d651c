//! `results.json`: every experiment's rows, differences and findings, every run with its configuration in short, and what is
//! missing, by name. `timings.json`: what each run took, and where.
//!
//! **`results.json` is a function of seeds, code, configuration and the kind of processor**: no clock is in it, so that a sweep that
//! was killed and taken up again ends in the same bytes.

use super::files;
use super::finding::Finding;
use super::ledger::{Entry, Ledger, Outcome};
use super::published;
use super::row::Row;
use super::run_dir::Record;
use super::statistics::Summary;
use super::study::Study;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;
use stompp_train::RunConfig;

/// Name of the results.
pub(crate) const FILE: &str = "results.json";

/// Name of the timings.
pub(crate) const TIMINGS: &str = "timings.json";

/// Writes both files into `folder`, each whole or not at all.
///
/// # Errors
/// Names the file.
pub(crate) fn write(ledger: &Ledger, studies: &[Study<'_>], folder: &Path) -> Result<()> {
    for (file, value) in [(FILE, results(ledger, studies)?), (TIMINGS, timings(ledger))] {
        let text = serde_json::to_string_pretty(&value)? + "\n";
        files::replace(&folder.join(file), &text)?;
    }
    Ok(())
}

/// Accuracies are top-1 of the deploy network in percent, differences in points.
fn results(ledger: &Ledger, studies: &[Study<'_>]) -> Result<Value> {
    let missing = |reason: fn(&Outcome) -> Option<&str>| -> Vec<_> {
        ledger
            .entries
            .iter()
            .filter_map(|entry| Some(json!({"cell": entry.cell.name(), "reason": reason(&entry.outcome)?})))
            .collect()
    };
    let finished = ledger.finished();
    let cells: Vec<_> = finished
        .filter_map(|(entry, record)| Some(cell(entry, entry.cell.config()?, record)))
        .collect();
    Ok(json!({
        "preset": ledger.scale.preset.name(),
        "published_source": published::SOURCE,
        "experiments": studies.iter().map(experiment).collect::<Result<Vec<_>>>()?,
        "cells": cells,
        "failed": missing(|outcome| match outcome {
            Outcome::Failed(reason) => Some(reason),
            _ => None,
        }),
        "diverged": ledger.diverged().map(|(entry, divergence)| json!({
            "cell": entry.cell.name(),
            "step": divergence.step,
            "reason": divergence.reason,
        })).collect::<Vec<_>>(),
        "refused": missing(|outcome| match outcome {
            Outcome::Refused(reason) => Some(reason),
            _ => None,
        }),
        "pending": missing(|outcome| match outcome {
            Outcome::Pending => Some("not run yet"),
            Outcome::Interrupted(_) => Some("interrupted"),
            Outcome::Running(_) => Some("another process is at it"),
            _ => None,
        }),
    }))
}

fn experiment(study: &Study<'_>) -> Result<Value> {
    let rows = study.rows();
    let measured = |row: &Row| {
        let top1 = study.top1(row);
        json!({
            "row": title(row),
            "top1": top1.values().collect::<Vec<_>>(),
            "n": top1.n(),
            "mean": top1.mean(),
            "standard_deviation": top1.deviation(),
            "published": (study.experiment.published)(row),
        })
    };
    let contrasts = study.contrasts();
    let difference = |summary: Option<Summary>| {
        summary.map(|Summary { n, mean, interval }| json!({"n": n, "mean": mean, "interval": interval}))
    };
    Ok(json!({
        "experiment": study.experiment.name,
        "rows": rows.iter().map(measured).collect::<Vec<_>>(),
        "differences": contrasts.iter().map(|contrast| json!({
            "row": title(&contrast.row),
            "baseline": title(&contrast.baseline),
            "difference": difference(study.difference(contrast)),
            "published": contrast.published,
        })).collect::<Vec<_>>(),
        "findings": (study.experiment.findings)(study)?.into_iter().map(|Finding { claim, verdict, evidence }| json!({
            "claim": claim,
            "verdict": verdict.to_string(),
            "evidence": evidence,
        })).collect::<Vec<_>>(),
    }))
}

fn title(row: &Row) -> String {
    format!(
        "{}, {}, {}",
        row.network_title(),
        row.images.title(),
        row.method_title()
    )
}

/// `run_dir` is relative to the folder of the preset.
fn cell(entry: &Entry, config: &RunConfig, record: &Record) -> Value {
    let (row, result) = (&entry.cell.row, &record.result);
    json!({
        "cell": entry.cell.name(),
        "network": row.network.to_string(),
        "dataset": row.images.name(),
        "setting": row.setting.name(),
        "method": row.procedure.method().name(),
        "order": row.procedure.order().map(|order| order.name()),
        "curve": config.method.curve.name(),
        "refresh": config.method.refresh.to_string(),
        "activation_surrogate": row.surrogate().map(|surrogate| surrogate.name()),
        "weight_surrogate": row.procedure.surrogate().map(|_| config.method.weight_surrogate.name()),
        "learning_rate": config.training.learning_rate,
        "seed": entry.cell.seed,
        "top1": result.top1,
        "top1_as_it_stands": result.top1_as_it_stands,
        "steps": result.steps,
        "batch_size": config.training.batch_size,
        "train_images": result.train_images,
        "test_images": result.test_images,
        "image_size": config.data.image_size,
        "width": config.network.width.unwrap_or(row.network.default_width()),
        "run_dir": format!("runs/{}", entry.cell.name()),
        "revision": record.run.code.revision,
        "cpu": record.run.machine.cpu,
    })
}

fn timings(ledger: &Ledger) -> Value {
    let cells: Vec<_> = ledger
        .finished()
        .map(|(entry, record)| {
            json!({
                "cell": entry.cell.name(),
                "started": record.run.started,
                "seconds": record.result.seconds,
                "images_per_s": record.result.images_per_s,
                "machine": record.run.machine,
            })
        })
        .collect();
    json!({ "cells": cells })
}
