//! Tables that not every report has.

use super::content::number_or;
use super::text_table::{Side, TextTable};
use crate::reproduce::archive::EpochPoint;
use crate::reproduce::experiments::Extra;
use crate::reproduce::ledger::{Entry, Outcome};
use crate::reproduce::statistics::Sample;
use crate::reproduce::study::Study;
use anyhow::Result;

/// Heading and table of each extra of the experiment.
///
/// # Errors
/// If what a run told cannot be read.
pub(super) fn of(study: &Study<'_>) -> Result<Vec<(&'static str, TextTable)>> {
    let extras = study.experiment.extras.iter();
    extras
        .map(|extra| match extra {
            Extra::Learned => Ok(("Training images beside test images", learned(study)?)),
            Extra::Gradients => Ok(("Gradients at the first convolution", gradients(study)?)),
        })
        .collect()
}

/// One line for each row that was run: what its networks learned of the training images, beside the test images. Too short a training
/// shows as both being low, learning by heart as a gap.
///
/// # Errors
/// If what a run told cannot be read.
fn learned(study: &Study<'_>) -> Result<TextTable> {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("method", Side::Left),
        ("n", Side::Right),
        ("test top-1", Side::Right),
        ("training top-1", Side::Right),
        ("test loss", Side::Right),
        ("training loss", Side::Right),
    ]);
    for row in study.rows() {
        let top1 = study.top1(&row);
        if top1.n() == 0 {
            continue;
        }
        let last = |number: fn(&EpochPoint) -> f64| -> Result<_> {
            Ok(study
                .try_sample(&row, |entry| Ok(entry.epochs()?.last().map(number)))?
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
            loss(study.sample(&row, |record| record.result.test_loss).mean()),
            loss(last(|epoch| epoch.train_loss)?),
        ]);
    }
    Ok(table)
}

/// One line for each row that was run: the norm of the gradient of the first convolution's weight, a mean over each fiftieth of the
/// training, at its first and last look and at the largest; mean over seeds. A norm that grows from look to look tells of a divergence to come.
///
/// # Errors
/// If what a run told cannot be read.
fn gradients(study: &Study<'_>) -> Result<TextTable> {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("method", Side::Left),
        ("n", Side::Right),
        ("top-1", Side::Right),
        ("first norm", Side::Right),
        ("largest", Side::Right),
        ("last", Side::Right),
        ("diverged at step", Side::Left),
    ]);
    for row in study.rows() {
        let runs: Vec<_> = study
            .runs()
            .filter(|(of, _)| **of == row)
            .map(|(_, entry)| entry)
            .collect();
        let ended = |entry: &&&Entry| matches!(entry.outcome, Outcome::Finished(_) | Outcome::Diverged(_));
        let mut norms = Vec::new();
        for entry in runs.iter().filter(ended) {
            let looks = entry.gradients()?;
            norms.push((
                entry.cell.seed,
                looks.iter().map(|look| look.stem_norm).collect::<Vec<_>>(),
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
            .filter_map(|entry| match &entry.outcome {
                Outcome::Diverged(divergence) => Some(divergence.step.to_string()),
                _ => None,
            })
            .collect();
        table.push(vec![
            row.network_title(),
            row.images.title().to_owned(),
            row.method_title(),
            norms.len().to_string(),
            number_or(study.top1(&row).mean(), "-"),
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
