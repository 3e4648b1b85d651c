//! Tables that not every report has.

use super::text_table::{Align, TextTable, number_or};
use crate::archive::EpochPoint;
use crate::error::Result;
use crate::experiment::ExtraTable;
use crate::experiment_results::ExperimentResults;
use crate::run_index::{RunEntry, RunStatus};
use crate::statistics::Sample;

/// Heading and table of each extra table of the experiment.
///
/// # Errors
/// Returns [`ExperimentError::Train`](crate::ExperimentError::Train) if a run's metrics cannot be read.
pub(super) fn all(results: &ExperimentResults<'_>) -> Result<Vec<(&'static str, TextTable)>> {
    let tables = results.experiment().extra_tables.iter();
    tables
        .map(|table| match table {
            ExtraTable::TrainingAccuracy => Ok(("Training images beside test images", training_accuracy(results)?)),
            ExtraTable::Gradients => Ok(("Gradients at the first convolution", gradients(results)?)),
        })
        .collect()
}

/// One line for each row with finished runs: accuracy and loss on the training images beside those on the test images. With underfitting
/// both accuracies are low; overfitting shows as a gap.
///
/// # Errors
/// If a run's metrics cannot be read.
fn training_accuracy(results: &ExperimentResults<'_>) -> Result<TextTable> {
    let mut table = TextTable::new(&[
        ("network", Align::Left),
        ("images", Align::Left),
        ("method", Align::Left),
        ("n", Align::Right),
        ("test top-1", Align::Right),
        ("training top-1", Align::Right),
        ("test loss", Align::Right),
        ("training loss", Align::Right),
    ]);
    for row in results.rows() {
        let top1 = results.top1(row);
        if top1.n() == 0 {
            continue;
        }
        let last = |number: fn(&EpochPoint) -> f64| -> Result<_> {
            Ok(results
                .try_sample(row, |entry| Ok(entry.epochs()?.last().map(number)))?
                .mean())
        };
        let loss = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        table.push(vec![
            row.network_title(),
            row.images.title().to_owned(),
            row.method_title(),
            top1.n().to_string(),
            number_or(top1.mean(), "-"),
            number_or(last(|epoch| epoch.train_top1)?, "-"),
            loss(results.sample(row, |run| run.result.test_loss).mean()),
            loss(last(|epoch| epoch.train_loss)?),
        ]);
    }
    Ok(table)
}

/// One line for each row with finished or diverged runs: the first, the largest and the last norm of the gradient of the first
/// convolution's weight. Each norm is a mean over a fiftieth of the training and over seeds. A norm that keeps growing announces a
/// divergence.
///
/// # Errors
/// If a run's metrics cannot be read.
fn gradients(results: &ExperimentResults<'_>) -> Result<TextTable> {
    let mut table = TextTable::new(&[
        ("network", Align::Left),
        ("images", Align::Left),
        ("method", Align::Left),
        ("n", Align::Right),
        ("top-1", Align::Right),
        ("first norm", Align::Right),
        ("largest", Align::Right),
        ("last", Align::Right),
        ("diverged at step", Align::Left),
    ]);
    for row in results.rows() {
        let runs: Vec<_> = results.runs_of(row).collect();
        let ended = |entry: &&&RunEntry| matches!(entry.status, RunStatus::Finished(_) | RunStatus::Diverged(_));
        let mut norms = Vec::new();
        for entry in runs.iter().filter(ended) {
            let steps = entry.gradients()?;
            norms.push((
                entry.spec.seed,
                steps.iter().map(|step| step.stem_norm).collect::<Vec<_>>(),
            ));
        }
        if norms.is_empty() {
            continue;
        }
        let mean = |number: fn(&[f64]) -> Option<f64>| {
            let numbers = norms.iter().filter_map(|(seed, norms)| Some((*seed, number(norms)?)));
            let mean = numbers.collect::<Sample>().mean();
            mean.map_or("-".to_owned(), |mean| format!("{mean:.2}"))
        };
        let steps: Vec<_> = runs
            .iter()
            .filter_map(|entry| match &entry.status {
                RunStatus::Diverged(divergence) => Some(divergence.step.to_string()),
                _ => None,
            })
            .collect();
        table.push(vec![
            row.network_title(),
            row.images.title().to_owned(),
            row.method_title(),
            norms.len().to_string(),
            number_or(results.top1(row).mean(), "-"),
            mean(|norms| norms.first().copied()),
            mean(|norms| norms.iter().copied().reduce(f64::max)),
            mean(|norms| norms.last().copied()),
            if steps.is_empty() {
                "no".to_owned()
            } else {
                steps.join(" / ")
            },
        ]);
    }
    Ok(table)
}
