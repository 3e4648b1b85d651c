//! `results.json`: every finished cell with its configuration in short, and what is missing, by name.

use super::files;
use super::ledger::{Entry, Ledger, Outcome};
use super::published;
use super::run_dir::Record;
use anyhow::Result;
use serde_json::{Value, json};
use stompp_train::RunConfig;

/// Name of the file.
pub(crate) const FILE: &str = "results.json";

/// Writes the file into the ledger's folder, whole or not at all.
///
/// # Errors
/// Names the file.
pub(crate) fn write(ledger: &Ledger) -> Result<()> {
    let text = serde_json::to_string_pretty(&json(ledger))? + "\n";
    files::replace(&ledger.out.join(FILE), &text)
}

/// The file's content. Accuracies are top-1 in percent; `run_dir` is relative to the file.
fn json(ledger: &Ledger) -> Value {
    let cells: Vec<_> = ledger
        .entries
        .iter()
        .filter_map(|entry| Some(finished(ledger, entry, entry.cell.config()?, entry.record()?)))
        .collect();
    let missing = |reason: fn(&Outcome) -> Option<&str>| -> Vec<_> {
        ledger
            .entries
            .iter()
            .filter_map(|entry| Some(json!({"cell": entry.cell.name(), "reason": reason(&entry.outcome)?})))
            .collect()
    };
    json!({
        "experiment": ledger.experiment.name,
        "preset": ledger.scale.preset.name(),
        "published_source": published::SOURCE,
        "cells": cells,
        "failed": missing(|outcome| match outcome {
            Outcome::Failed(reason) => Some(reason),
            _ => None,
        }),
        "refused": missing(|outcome| match outcome {
            Outcome::Refused(reason) => Some(reason),
            _ => None,
        }),
        "pending": missing(|outcome| match outcome {
            Outcome::Pending => Some("not run yet"),
            Outcome::Interrupted => Some("interrupted"),
            _ => None,
        }),
    })
}

fn finished(ledger: &Ledger, entry: &Entry, config: &RunConfig, record: &Record) -> Value {
    let (row, result) = (&entry.cell.row, &record.result);
    let procedure = row.procedure;
    let run_dir = entry.dir.strip_prefix(&ledger.out).unwrap_or(&entry.dir);
    json!({
        "network": row.network.to_string(),
        "dataset": row.images.name(),
        "setting": row.setting.name(),
        "method": procedure.method().name(),
        "order": procedure.order().map(|order| order.name()),
        "activation_surrogate": procedure.surrogate().map(|surrogate| surrogate.name()),
        "weight_surrogate": procedure.surrogate().map(|_| config.method.weight_surrogate.name()),
        "seed": entry.cell.seed,
        "top1": result.top1,
        "top1_as_it_stands": result.top1_as_it_stands,
        "published": published::top1(row),
        "seconds": result.seconds,
        "images_per_s": result.images_per_s,
        "steps": result.steps,
        "batch_size": config.training.batch_size,
        "train_images": result.train_images,
        "test_images": result.test_images,
        "image_size": config.data.image_size,
        "width": config.network.width.unwrap_or(row.network.default_width()),
        "run_dir": run_dir,
        "started": record.run.started,
        "revision": record.run.code.revision,
        "machine": record.run.machine,
    })
}
