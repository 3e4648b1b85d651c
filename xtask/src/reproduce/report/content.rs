//! What a report says: measured beside published, what is compared and claimed, what differs from the paper, and what made it.

use super::differences;
use super::extras;
use super::figures::{self, Drawn};
use super::text_table::{Side, TextTable};
use crate::reproduce::duration::duration;
use crate::reproduce::experiments::Figure;
use crate::reproduce::finding::Finding;
use crate::reproduce::ledger::{Ledger, Outcome};
use crate::reproduce::published;
use crate::reproduce::run_dir::Record;
use crate::reproduce::statistics::{ENOUGH, Sample, standard_error};
use crate::reproduce::study::Study;
use anyhow::Result;
use std::collections::BTreeSet;
use stompp_train::SavedRun;

/// What stands where a number is not known.
const UNKNOWN: &str = "unknown";

/// A report, whole: what its text and its page are made of.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// One for each experiment.
    pub(super) chapters: Vec<Chapter>,
    /// What holds for all of them.
    pub(super) closing: Vec<Block>,
}

/// One experiment.
#[derive(Clone, Debug)]
pub(super) struct Chapter {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Heading(String),
    Paragraph(String),
    Table(TextTable),
    Findings(Vec<Finding>),
    List(Vec<String>),
    Figure(Drawn),
    /// A picture that is no drawing (PNG), and its caption.
    Picture(Vec<u8>, String),
}

impl Page {
    /// What the studies of one ledger tell.
    ///
    /// # Errors
    /// If a run directory cannot be read.
    pub(super) fn new(studies: &[Study<'_>], again: &str) -> Result<Self> {
        let mut closing = Vec::new();
        if let Some(ledger) = studies.first().map(|study| study.ledger) {
            let lists = [
                ("How to read it", how_to_read(ledger)),
                ("What differs from the paper", differences::from_paper(ledger)),
                ("Not in the tables", missing(ledger)),
                ("What made it", made_by(ledger, again)),
            ];
            for (title, items) in lists.into_iter().filter(|(_, items)| !items.is_empty()) {
                closing.extend([Block::Heading(title.to_owned()), Block::List(items)]);
            }
        }
        Ok(Self {
            chapters: studies.iter().map(chapter).collect::<Result<_>>()?,
            closing,
        })
    }
}

fn chapter(study: &Study<'_>) -> Result<Chapter> {
    let (finished, all) = (study.finished().count(), study.runs().count());
    let experiment = study.experiment;
    let mut blocks = vec![
        Block::Paragraph(experiment.question.to_owned()),
        Block::Paragraph(format!(
            "Preset `{}`, {finished} of {all} runs finished. Top-1 test accuracy of the deploy network, percent.",
            study.ledger.scale.preset
        )),
        Block::Table(accuracies(study)),
    ];
    let section = |title: String, block: Block| [Block::Heading(title), block];
    let differences = differences(study);
    if !differences.is_empty() {
        blocks.extend(section("Differences, points".to_owned(), Block::Table(differences)));
    }
    for (title, table) in extras::of(study)? {
        blocks.extend(section(title.to_owned(), Block::Table(table)));
    }
    let findings = (experiment.findings)(study)?;
    if !findings.is_empty() {
        blocks.extend(section(
            "What the runs say of the claims".to_owned(),
            Block::Findings(findings),
        ));
    }
    blocks.extend(figures::of(study)?.into_iter().map(Block::Figure));
    if experiment.figures.contains(&Figure::Samples) {
        blocks.extend(samples(study));
    }
    let published = as_published(study);
    if !published.is_empty() {
        blocks.extend(section(
            format!("As published ({})", published::SOURCE),
            Block::Table(published),
        ));
    }
    Ok(Chapter {
        name: experiment.name,
        title: experiment.title,
        blocks,
    })
}

/// Some test images with what a network says of them, if one was trained. Where the images or the network are not to be had, as after
/// a merge, the reason stands in their place: the rest of the report does not need them.
fn samples(study: &Study<'_>) -> Option<Block> {
    const IMAGES: usize = 32;
    let mut freezing = study.rows().into_iter().filter(|row| row.procedure.order().is_some());
    let (row, entry) = freezing.find_map(|row| {
        Some((
            row,
            study
                .of(&row)
                .map(|(entry, _)| entry)
                .find(|entry| entry.has_directory())?,
        ))
    })?;
    let sheet = || {
        let mut run = SavedRun::open(&entry.dir)?;
        // Where the images lie on this machine.
        run.config.data.path = entry.cell.config().and_then(|config| config.data.path.clone());
        run.predictions_sheet(IMAGES)
    };
    let caption = format!(
        "The first test images as the networks get them, and what {} ({}, seed {}) says of each; where it is wrong, the truth follows in \
         brackets.",
        row.network_title(),
        row.method_title(),
        entry.cell.seed
    );
    Some(match sheet() {
        Ok(sheet) => Block::Picture(sheet, caption),
        Err(error) => Block::Paragraph(format!("No picture of test images: {error}.")),
    })
}

/// One line for each row that was run or that a published number is known of, its seeds together.
pub(super) fn accuracies(study: &Study<'_>) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("method", Side::Left),
        ("top-1", Side::Right),
        ("s.d.", Side::Right),
        ("n", Side::Right),
        ("each seed", Side::Left),
        ("s.e.", Side::Right),
        ("published", Side::Right),
    ]);
    for row in study.rows() {
        let (top1, diverged) = (study.top1(&row), study.diverged(&row));
        let published = (study.experiment.published)(&row);
        if top1.n() + diverged == 0 && published.is_none() {
            continue;
        }
        let images = study.of(&row).map(|(_, record)| record.result.test_images).min();
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

/// One line for each pair of rows that is compared and was run.
pub(super) fn differences(study: &Study<'_>) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("", Side::Left),
        ("minus", Side::Left),
        ("difference", Side::Right),
        ("95 %", Side::Left),
        ("n", Side::Right),
        ("published", Side::Right),
    ]);
    for contrast in study.contrasts() {
        let Some(summary) = study.difference(&contrast) else {
            continue;
        };
        let interval = summary.interval.map(|[low, high]| format!("{low:+.1} to {high:+.1}"));
        let few = if summary.n < ENOUGH { " (n too small)" } else { "" };
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

/// The published rows of the experiment at the paper's own scale, run here or not; unknown numbers are left out.
fn as_published(study: &Study<'_>) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("method", Side::Left),
        ("published", Side::Right),
    ]);
    let rows = study.experiment.papers_rows();
    for row in &rows {
        if let Some(top1) = (study.experiment.published)(row) {
            let method = row.method_title();
            table.push(vec![
                row.network_title(),
                row.images.title().to_owned(),
                method,
                number(top1),
            ]);
        }
    }
    for contrast in (study.experiment.contrasts)(&rows) {
        if let Some(points) = contrast.published {
            table.push(vec![
                contrast.row.network_title(),
                contrast.row.images.title().to_owned(),
                format!(
                    "{} minus {}",
                    contrast.row.method_title(),
                    contrast.baseline.method_title()
                ),
                format!("{points:+.1}"),
            ]);
        }
    }
    table
}

/// What the columns mean.
fn how_to_read(ledger: &Ledger) -> Vec<String> {
    if ledger.finished().next().is_none() {
        return Vec::new();
    }
    vec![
        "s.d.: standard deviation over seeds. s.e.: binomial standard error of one seed's accuracy on the test images; it does not \
         cover what another seed would change"
            .to_owned(),
        format!(
            "differences are paired by seed; 95 %: bootstrap over seeds (percentiles). With fewer than {ENOUGH} seeds the interval is \
             too narrow to mean 95 %, and no claim is said to hold"
        ),
    ]
}

/// Runs that the tables lack, and why.
fn missing(ledger: &Ledger) -> Vec<String> {
    let reason = |outcome: &Outcome| match outcome {
        Outcome::Finished(_) => None,
        Outcome::Pending => Some("not run yet".to_owned()),
        Outcome::Interrupted(step) => Some(format!("interrupted; it goes on at step {step} next time")),
        Outcome::Running(_) => Some("another process is at it".to_owned()),
        Outcome::Diverged(divergence) => Some(divergence.to_string()),
        Outcome::Failed(reason) => Some(format!("failed: {reason}")),
        Outcome::Refused(reason) => Some(format!("not run: {reason}")),
    };
    let entries = ledger.entries.iter();
    entries
        .filter_map(|entry| Some(format!("`{}`: {}", entry.cell.name(), reason(&entry.outcome)?)))
        .collect()
}

/// Machine, code and time.
pub(super) fn made_by(ledger: &Ledger, again: &str) -> Vec<String> {
    if ledger.finished().next().is_none() {
        return Vec::new();
    }
    let seconds: f64 = ledger.finished().map(|(_, record)| record.result.seconds).sum();
    let rates = || ledger.finished().map(|(_, record)| record.result.images_per_s);
    let distinct = |describe: fn(&Record) -> String| {
        let all: BTreeSet<_> = ledger.finished().map(|(_, record)| describe(record)).collect();
        all.into_iter().collect::<Vec<_>>().join("; ")
    };
    let days: BTreeSet<_> = ledger
        .finished()
        .map(|(_, record)| record.run.started.split('T').next().unwrap_or_default())
        .collect();
    vec![
        format!(
            "code: {}",
            distinct(|record| format!("{} ({})", record.run.code.revision, record.run.code.rustc))
        ),
        format!(
            "machine: {}",
            distinct(|record| {
                let machine = &record.run.machine;
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
        format!("again: `{again}`"),
    ]
}

/// Every seed's accuracy, and how many have none because they diverged.
fn each(top1: &Sample, diverged: usize) -> String {
    let mut each: Vec<_> = top1.values().map(number).collect();
    each.extend((diverged > 0).then(|| format!("{diverged} diverged")));
    each.join(" / ")
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

pub(super) fn number_or(value: Option<f64>, without: &str) -> String {
    value.map_or(without.to_owned(), number)
}
