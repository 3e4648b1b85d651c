//! The content of a report: measured and published accuracies, comparisons, claims, differences from the paper, and code and machine.

use super::differences;
use super::extra_tables;
use super::figures::{self, RenderedFigure};
use super::text_table::{Align, TextTable, number, number_or};
use crate::claim::ClaimTest;
use crate::duration::duration;
use crate::error::Result;
use crate::experiment::{Experiment, Figure};
use crate::experiment_results::ExperimentResults;
use crate::run_dir::FinishedRun;
use crate::run_index::{RunIndex, RunStatus};
use crate::statistics::{ENOUGH_SEEDS, Sample, standard_error};
use std::collections::BTreeSet;
use stompp_train::SavedRun;

/// Shown where a number is not known.
const UNKNOWN: &str = "unknown";

/// A whole report. The text and the page are made from it.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// Heading of the page.
    pub(super) title: String,
    /// One section for each experiment.
    pub(super) sections: Vec<Section>,
    /// Notes on all experiments.
    pub(super) notes: Vec<Block>,
}

/// One experiment.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Heading(String),
    Paragraph(String),
    Table(TextTable),
    Claims(Vec<ClaimTest>),
    List(Vec<String>),
    Figure(RenderedFigure),
    /// An image (PNG) and its caption.
    Image(Vec<u8>, String),
}

impl Report {
    /// Makes the report on those runs of `experiments` that are in `index`.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Train`](crate::ExperimentError::Train) if a run's metrics cannot be read,
    /// [`ExperimentError::Figure`](crate::ExperimentError::Figure) if a figure cannot be drawn, and the errors of the experiments' claims.
    pub(super) fn new(experiments: &[Experiment], index: &RunIndex, command: Option<&str>) -> Result<Self> {
        let reproduces = experiments.iter().any(|experiment| experiment.published.is_some());
        let from_paper = if reproduces {
            differences::from_paper(index)
        } else {
            Vec::new()
        };
        let lists = [
            ("How to read it", how_to_read(index)),
            ("What differs from the paper", from_paper),
            ("Not in the tables", missing(index)),
            ("What made it", made_by(index, command)),
        ];
        let mut notes = Vec::new();
        for (title, items) in lists.into_iter().filter(|(_, items)| !items.is_empty()) {
            notes.extend([Block::Heading(title.to_owned()), Block::List(items)]);
        }
        let title = match experiments {
            [own] if !reproduces => own.title.clone(),
            _ if !reproduces => format!("Experiments at {}", index.setup.name),
            _ => format!("StoMPP, reproduced at preset {}", index.setup.name),
        };
        Ok(Self {
            title,
            sections: experiments
                .iter()
                .map(|experiment| section(experiment, index))
                .collect::<Result<_>>()?,
            notes,
        })
    }
}

fn section(experiment: &Experiment, index: &RunIndex) -> Result<Section> {
    let results = &experiment.results(index);
    let (finished, all) = (results.finished_count(), results.runs().count());
    let mut blocks = Vec::new();
    if !experiment.question.is_empty() {
        blocks.push(Block::Paragraph(experiment.question.clone()));
    }
    blocks.extend([
        Block::Paragraph(format!(
            "Setup `{}`, {finished} of {all} runs finished. Top-1 test accuracy of the deploy network, percent.",
            index.setup.name
        )),
        Block::Table(accuracies(results)),
    ]);
    let under = |title: String, block: Block| [Block::Heading(title), block];
    let differences = differences(results);
    if !differences.is_empty() {
        blocks.extend(under("Differences, points".to_owned(), Block::Table(differences)));
    }
    for (title, table) in extra_tables::all(results)? {
        blocks.extend(under(title.to_owned(), Block::Table(table)));
    }
    let tests = (experiment.claims)(results)?;
    if !tests.is_empty() {
        blocks.extend(under(
            "What the runs say of the claims".to_owned(),
            Block::Claims(tests),
        ));
    }
    blocks.extend(figures::draw_all(results)?.into_iter().map(Block::Figure));
    if experiment.figures.contains(&Figure::Samples) {
        blocks.extend(samples(results));
    }
    if let Some(published) = &experiment.published {
        let table = as_published(experiment);
        if !table.is_empty() {
            blocks.extend(under(
                format!("As published ({})", published.source),
                Block::Table(table),
            ));
        }
    }
    Ok(Section {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        blocks,
    })
}

/// Some test images with the predictions of a network that froze; `None` if none was trained. If the images or the network are missing,
/// for example after a merge, the block gives the reason instead.
fn samples(results: &ExperimentResults<'_>) -> Option<Block> {
    const IMAGES: usize = 32;
    let mut freezing = results.rows().iter().filter(|row| row.variant.order().is_some());
    let (row, entry) = freezing.find_map(|row| {
        let mut runs = results.finished_of(row).map(|(entry, _)| entry);
        Some((row, runs.find(|entry| entry.has_directory())?))
    })?;
    let sheet = || {
        let mut run = SavedRun::open(&entry.dir)?;
        // The path of the images on this machine.
        run.config.data.path = entry.spec.config().and_then(|config| config.data.path.clone());
        run.predictions_sheet(IMAGES)
    };
    let caption = format!(
        "The first test images as the networks get them, and what {} ({}, seed {}) says of each; where it is wrong, the truth follows in \
         brackets.",
        row.network_title(),
        row.method_title(),
        entry.spec.seed
    );
    Some(match sheet() {
        Ok(sheet) => Block::Image(sheet, caption),
        Err(error) => Block::Paragraph(format!("No picture of test images: {error}.")),
    })
}

/// One line for each row that has ended runs or a published number. It summarizes the seeds of the row.
pub(super) fn accuracies(results: &ExperimentResults<'_>) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Align::Left),
        ("images", Align::Left),
        ("method", Align::Left),
        ("top-1", Align::Right),
        ("s.d.", Align::Right),
        ("n", Align::Right),
        ("each seed", Align::Left),
        ("s.e.", Align::Right),
        ("published", Align::Right),
    ]);
    for row in results.rows() {
        let (top1, diverged) = (results.top1(row), results.diverged(row));
        let published = results.experiment().published_top1(row);
        if top1.n() + diverged == 0 && published.is_none() {
            continue;
        }
        let images = results.finished_of(row).map(|(_, run)| run.result.test_images).min();
        let error = top1
            .mean()
            .zip(images)
            .map(|(mean, images)| standard_error(mean, images));
        table.push(vec![
            row.network_title(),
            row.images.title().to_owned(),
            row.method_title(),
            number_or(top1.mean(), "-"),
            number_or(top1.deviation(), "-"),
            top1.n().to_string(),
            each(&top1, diverged),
            number_or(error, "-"),
            number_or(published, UNKNOWN),
        ]);
    }
    table
}

/// One line for each pair of rows that is compared and has finished runs.
pub(super) fn differences(results: &ExperimentResults<'_>) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Align::Left),
        ("images", Align::Left),
        ("", Align::Left),
        ("minus", Align::Left),
        ("difference", Align::Right),
        ("95 %", Align::Left),
        ("n", Align::Right),
        ("published", Align::Right),
    ]);
    for contrast in results.contrasts() {
        let Some(summary) = results.difference(contrast) else {
            continue;
        };
        let interval = summary.interval.map(|[low, high]| format!("{low:+.1} to {high:+.1}"));
        let few = if summary.n < ENOUGH_SEEDS { " (n too small)" } else { "" };
        table.push(vec![
            contrast.row.network_title(),
            contrast.row.images.title().to_owned(),
            contrast.row.method_title(),
            contrast.baseline.method_title(),
            format!("{:+.1}", summary.mean),
            interval.unwrap_or_else(|| "-".to_owned()) + few,
            summary.n.to_string(),
            contrast
                .published
                .map_or(UNKNOWN.to_owned(), |points| format!("{points:+.1}")),
        ]);
    }
    table
}

/// All published numbers of the experiment, also of rows that are not trained here.
fn as_published(experiment: &Experiment) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Align::Left),
        ("images", Align::Left),
        ("method", Align::Left),
        ("published", Align::Right),
    ]);
    let Some(published) = &experiment.published else {
        return table;
    };
    for (row, top1) in &published.top1 {
        table.push(vec![
            row.network_title(),
            row.images.title().to_owned(),
            row.method_title(),
            number(*top1),
        ]);
    }
    for contrast in &published.contrasts {
        if let Some(points) = contrast.published {
            let (method, baseline) = (contrast.row.method_title(), contrast.baseline.method_title());
            table.push(vec![
                contrast.row.network_title(),
                contrast.row.images.title().to_owned(),
                format!("{method} minus {baseline}"),
                format!("{points:+.1}"),
            ]);
        }
    }
    table
}

/// The meaning of the columns.
fn how_to_read(index: &RunIndex) -> Vec<String> {
    if index.finished().next().is_none() {
        return Vec::new();
    }
    vec![
        "s.d.: standard deviation over seeds. s.e.: binomial standard error of one seed's accuracy on the test images; it does not \
         cover what another seed would change"
            .to_owned(),
        format!(
            "differences are paired by seed; 95 %: bootstrap over seeds (percentiles). With fewer than {ENOUGH_SEEDS} seeds the interval is \
             too narrow to mean 95 %, and no claim is said to hold"
        ),
    ]
}

/// Runs that are not in the tables, each with the reason.
fn missing(index: &RunIndex) -> Vec<String> {
    let reason = |outcome: &RunStatus| match outcome {
        RunStatus::Finished(_) => None,
        RunStatus::Pending => Some("not run yet".to_owned()),
        RunStatus::Interrupted(step) => Some(format!("interrupted; the next sweep resumes it at step {step}")),
        RunStatus::Running(_) => Some("another process is training it".to_owned()),
        RunStatus::Diverged(divergence) => Some(divergence.to_string()),
        RunStatus::Failed(reason) => Some(format!("failed: {reason}")),
        RunStatus::Skipped(reason) => Some(format!("not run: {reason}")),
    };
    let entries = index.entries.iter();
    entries
        .filter_map(|entry| Some(format!("`{}`: {}", entry.spec.name(), reason(&entry.status)?)))
        .collect()
}

/// Machine, code and time.
pub(super) fn made_by(index: &RunIndex, command: Option<&str>) -> Vec<String> {
    if index.finished().next().is_none() {
        return Vec::new();
    }
    let seconds: f64 = index.finished().map(|(_, run)| run.result.seconds).sum();
    let rates = || index.finished().map(|(_, run)| run.result.images_per_s);
    let distinct = |describe: fn(&FinishedRun) -> String| {
        let all: BTreeSet<_> = index.finished().map(|(_, run)| describe(run)).collect();
        all.into_iter().collect::<Vec<_>>().join("; ")
    };
    let days: BTreeSet<_> = index
        .finished()
        .map(|(_, run)| run.run.started.split('T').next().unwrap_or_default())
        .collect();
    let mut made_by = vec![
        format!(
            "code: {}",
            distinct(|run| format!("{} ({})", run.run.code.revision, run.run.code.rustc))
        ),
        format!(
            "machine: {}",
            distinct(|run| {
                let machine = &run.run.machine;
                format!(
                    "{}, {} cores, {}; {} thread(s) a run",
                    machine.cpu, machine.cores, machine.os, machine.threads
                )
            })
        ),
        format!("begun: {}", days.into_iter().collect::<Vec<_>>().join(", ")),
        format!(
            "training time of all runs together: {}, at {:.0} to {:.0} images/s a run",
            duration(seconds),
            rates().fold(f64::INFINITY, f64::min),
            rates().fold(0.0, f64::max),
        ),
    ];
    made_by.extend(command.map(|command| format!("again: `{command}`")));
    made_by
}

/// The accuracy of every seed, and the number of seeds that diverged.
fn each(top1: &Sample, diverged: usize) -> String {
    let mut each: Vec<_> = top1.values().map(number).collect();
    each.extend((diverged > 0).then(|| format!("{diverged} diverged")));
    each.join(" / ")
}
