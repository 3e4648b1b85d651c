//! `stompp data check`.

use super::{config_for, image_files};
use crate::{
    count::CountBar,
    options::{Overrides, Selection},
    threads::Threads,
};
use clap::Args;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use stompp_train::{
    RunConfig,
    data::{self, DataReport, MinMeanMax, SplitReport},
};

/// Read a whole data set once and report on it
///
/// The report has classes and counts, sizes, color modes, unreadable images, skipped files with the reason, images with identical pixels,
/// and means and deviations of the channels. The data set may have only training or only test images. Problems of images are part of the
/// report: the exit code is 0 even if images cannot be read.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  stompp data check imagenet\n  stompp data check cifar-10-binary.tar.gz --dataset cifar10 --json cifar10.json"
)]
pub(super) struct Check {
    /// Folder or archive with the data set
    dir: PathBuf,

    /// Also write the full report to this new JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    overrides: Overrides<CheckOptions>,

    #[command(flatten)]
    threads: Threads,
}

/// The options that select the data set.
#[derive(Clone)]
struct CheckOptions;

impl Selection for CheckOptions {
    fn has(flag: &str) -> bool {
        ["dataset", "labels"].contains(&flag)
    }

    fn base() -> RunConfig {
        image_files()
    }
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = config_for(&self.overrides, Some(self.dir))?;
        let report = self.threads.run(|| {
            let mut count = CountBar::images();
            data::check(&config.data, |at| count.set(at.done as u64, at.total as u64))
        })??;
        stompp_console::outln!("{}", table(&report).trim_end());
        if let Some(file) = self.json {
            data::write_report(&report, &file)?;
        }
        Ok(())
    }
}

/// Classes are listed one by one up to this number; otherwise only their number is shown.
const MOST_LISTED: usize = 20;

/// Number of single files that are listed for each kind of problem.
const MOST_FILES: usize = 10;

/// The report as a table with one column per split.
fn table(report: &DataReport) -> String {
    let mut rows = vec![row("", report, |part| part.name.clone())];
    rows.push(row("images", report, |part| part.images.to_string()));
    rows.push(row("classes", report, |part| part.classes.len().to_string()));
    rows.push(row("images a class", report, |part| {
        let counts = || part.classes.values().copied();
        span(counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }));
    rows.push(row("width", report, |part| sizes(part.width)));
    rows.push(row("height", report, |part| sizes(part.height)));
    rows.push(row("MB", report, |part| format!("{:.1}", part.bytes as f64 / 1e6)));
    for mode in keys(report, |part| part.modes.keys()) {
        rows.push(row(mode, report, |part| count(part.modes.get(mode))));
    }
    rows.push(row("unreadable", report, |part| part.unreadable.len().to_string()));
    rows.push(row("mean", report, |part| channels(part.mean)));
    rows.push(row("deviation", report, |part| channels(part.std)));
    let classes = keys(report, |part| part.classes.keys());
    if classes.len() <= MOST_LISTED {
        for class in classes {
            rows.push(row(&format!("class {class}"), report, |part| {
                count(part.classes.get(class))
            }));
        }
    }
    let mut text = aligned(&rows);
    list(
        &mut text,
        "damaged, so that images may be missing",
        report.faults.iter().cloned(),
    );
    list(
        &mut text,
        "not looked at",
        report.parts.iter().flat_map(|part| part.ignored.iter().cloned()),
    );
    list(
        &mut text,
        "cannot be read",
        report.parts.iter().flat_map(|part| part.unreadable.iter().cloned()),
    );
    text += &duplicates(&report.duplicates);
    text
}

/// The line about groups of images with identical pixels; empty if there are none.
fn duplicates(groups: &[Vec<String>]) -> String {
    let images: usize = groups.iter().map(Vec::len).sum();
    match groups.len() {
        0 => String::new(),
        1 => format!("\n1 group of {images} images with identical pixels (listed with --json)\n"),
        groups => format!("\n{groups} groups of {images} images with identical pixels (listed with --json)\n"),
    }
}

fn row(name: &str, report: &DataReport, cell: impl Fn(&SplitReport) -> String) -> Vec<String> {
    std::iter::once(name.to_owned())
        .chain(report.parts.iter().map(cell))
        .collect()
}

fn keys<'a, K: Iterator<Item = &'a String>>(
    report: &'a DataReport,
    keys: impl Fn(&'a SplitReport) -> K,
) -> BTreeSet<&'a str> {
    report.parts.iter().flat_map(keys).map(String::as_str).collect()
}

fn count(count: Option<&usize>) -> String {
    count.copied().unwrap_or(0).to_string()
}

fn span(min: usize, max: usize) -> String {
    if min == max {
        min.to_string()
    } else {
        format!("{min} to {max}")
    }
}

fn sizes(range: MinMeanMax) -> String {
    format!(
        "{} (mean {:.1})",
        span(range.min as usize, range.max as usize),
        range.mean
    )
}

fn channels(values: Option<[f32; 3]>) -> String {
    values.map_or("none".to_owned(), |[r, g, b]| format!("{r:.4} {g:.4} {b:.4}"))
}

/// Formats rows as columns of minimal width.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{} {title}:", lines.len());
    for line in lines.iter().take(MOST_FILES) {
        let _ = writeln!(text, "  {line}");
    }
    if lines.len() > MOST_FILES {
        let _ = writeln!(text, "  and {} more (all with --json)", lines.len() - MOST_FILES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_equal_images_are_counted_and_not_listed() {
        let group = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(duplicates(&[]), "");
        let one = duplicates(&[group(&["a", "b", "c"])]);
        assert_eq!(
            one,
            "\n1 group of 3 images with identical pixels (listed with --json)\n"
        );
        let two = duplicates(&[group(&["a", "b", "c"]), group(&["x", "y"])]);
        assert_eq!(
            two,
            "\n2 groups of 5 images with identical pixels (listed with --json)\n"
        );
    }
}
