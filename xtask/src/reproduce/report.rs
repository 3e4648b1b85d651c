//! `table.md`: measured beside published, what differs, and what made it. The terminal shows the same text.

use super::differences;
use super::duration::duration;
use super::files;
use super::ledger::{Entry, Ledger, Outcome};
use super::published;
use super::row::{Procedure, Row, network_title};
use super::run_dir::Record;
use super::statistics::{mean, standard_error};
use super::text_table::{Side, TextTable};
use anyhow::Result;
use std::collections::BTreeSet;
use stompp_train::config::{Order, Setting, StraightThrough};

/// Name of the file.
pub(crate) const FILE: &str = "table.md";

/// What stands where a number is not known.
const UNKNOWN: &str = "unknown";

/// Writes the report into the ledger's folder, whole or not at all, and returns it.
///
/// # Errors
/// Names the file.
pub(crate) fn write(ledger: &Ledger) -> Result<String> {
    let text = markdown(ledger);
    files::replace(&ledger.out.join(FILE), &text)?;
    Ok(text)
}

/// The report.
fn markdown(ledger: &Ledger) -> String {
    let finished = ledger.finished().count();
    let mut sections = vec![
        format!(
            "# {}\n\nPreset `{}`, {finished} of {} runs finished. Top-1 test accuracy of the deploy network, percent.\n",
            ledger.experiment.title,
            ledger.scale.preset,
            ledger.entries.len(),
        ),
        accuracies(ledger).to_string(),
    ];
    if finished > 0 {
        sections.push(
            "s.e.: binomial standard error of one seed's accuracy on the test images; it does not cover what\n\
             another seed would change.\n"
                .to_owned(),
        );
    }
    let gains = gains(ledger);
    if !gains.is_empty() {
        sections.push(format!("## Gain over STE, points\n\n{gains}"));
    }
    sections.push(format!("## As published ({})\n\n{}", published::SOURCE, as_published()));
    let differences = differences::from_paper(ledger);
    if !differences.is_empty() {
        sections.push(format!("## What differs from the paper\n\n{}", list(differences)));
    }
    let missing = missing(ledger);
    if !missing.is_empty() {
        sections.push(format!("## Not in the table\n\n{}", list(missing)));
    }
    if finished > 0 {
        sections.push(format!("## What made it\n\n{}", list(made_by(ledger))));
    }
    sections.join("\n")
}

/// One line for each row, its seeds together.
fn accuracies(ledger: &Ledger) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("method", Side::Left),
        ("top-1", Side::Right),
        ("each seed", Side::Left),
        ("n", Side::Right),
        ("s.e.", Side::Right),
        ("published", Side::Right),
    ]);
    for row in rows(ledger) {
        let measured = Measured::of(ledger, &row);
        let seeds: Vec<_> = measured.top1.iter().map(|top1| number(*top1)).collect();
        table.push(vec![
            network(&row),
            row.images.title().to_owned(),
            row.procedure.to_string(),
            measured.mean.map_or("-".to_owned(), number),
            seeds.join(" / "),
            seeds.len().to_string(),
            measured.standard_error.map_or("-".to_owned(), number),
            published::top1(&row).map_or(UNKNOWN.to_owned(), number),
        ]);
    }
    table
}

/// One line for each network, images and baseline: what freezing gains over it.
fn gains(ledger: &Ledger) -> TextTable {
    let mut table = TextTable::new(&[
        ("network", Side::Left),
        ("images", Side::Left),
        ("baseline", Side::Left),
        ("StoMPP", Side::Right),
        ("s.e.", Side::Right),
        ("StoMPP+STE", Side::Right),
        ("s.e.", Side::Right),
        ("published, StoMPP", Side::Right),
    ]);
    for row in rows(ledger) {
        let Procedure::Ste(surrogate) = row.procedure else {
            continue;
        };
        let baseline = Measured::of(ledger, &row);
        let against = |procedure| {
            let measured = Measured::of(ledger, &Row { procedure, ..row });
            let entries = measured
                .minus(&baseline)
                .map(|(gain, error)| [format!("{gain:+.1}"), number(error)]);
            entries.unwrap_or_else(|| ["-".to_owned(), "-".to_owned()])
        };
        let [stompp, stompp_error] = against(Procedure::Stompp(Order::Forward));
        let [both, both_error] = against(Procedure::StomppSte(Order::Forward, surrogate));
        if stompp == "-" && both == "-" {
            continue;
        }
        // What is published is the gain over the identity.
        let published = (surrogate == StraightThrough::Identity && row.setting == Setting::Bnn)
            .then(|| published::gain(row.network, row.images))
            .flatten();
        table.push(vec![
            network(&row),
            row.images.title().to_owned(),
            row.procedure.to_string(),
            stompp,
            stompp_error,
            both,
            both_error,
            published.map_or(UNKNOWN.to_owned(), |gain| format!("{gain:+.1}")),
        ]);
    }
    table
}

/// The published numbers of the networks and image sets of Table 1.
fn as_published() -> TextTable {
    let mut columns = vec![("network", Side::Left), ("method", Side::Left)];
    columns.extend(published::IMAGES.map(|images| (images.title(), Side::Right)));
    let mut table = TextTable::new(&columns);
    for network in published::NETWORKS.into_iter().rev() {
        for procedure in published::PROCEDURES {
            let values = published::IMAGES.map(|images| {
                published::top1(&Row {
                    network,
                    images,
                    setting: Setting::Bnn,
                    procedure,
                })
            });
            if values.iter().any(Option::is_some) {
                push(
                    &mut table,
                    network_title(network),
                    procedure.to_string(),
                    &values,
                    number,
                );
            }
        }
        let gains = published::IMAGES.map(|images| published::gain(network, images));
        push(
            &mut table,
            network_title(network),
            "StoMPP minus STE".to_owned(),
            &gains,
            |gain| format!("{gain:+.1}"),
        );
    }
    table
}

fn push(table: &mut TextTable, network: String, method: String, values: &[Option<f64>], show: fn(f64) -> String) {
    let shown = values.iter().map(|value| value.map_or(UNKNOWN.to_owned(), show));
    table.push([network, method].into_iter().chain(shown).collect());
}

/// Runs that the table lacks, and why.
fn missing(ledger: &Ledger) -> Vec<String> {
    let reason = |entry: &Entry| match &entry.outcome {
        Outcome::Finished(_) => None,
        Outcome::Pending => Some("not run yet".to_owned()),
        Outcome::Interrupted => Some("interrupted; it begins anew next time".to_owned()),
        Outcome::Failed(reason) => Some(format!("failed: {reason}")),
        Outcome::Refused(reason) => Some(format!("not run: {reason}")),
    };
    ledger
        .entries
        .iter()
        .filter_map(|entry| Some(format!("`{}`: {}", entry.cell.name(), reason(entry)?)))
        .collect()
}

/// Machine, code and time.
fn made_by(ledger: &Ledger) -> Vec<String> {
    let seconds: f64 = ledger.finished().map(|(_, record)| record.result.seconds).sum();
    let rates = || ledger.finished().map(|(_, record)| record.result.images_per_s);
    let distinct = |describe: fn(&Record) -> String| {
        let all: BTreeSet<_> = ledger.finished().map(|(_, record)| describe(record)).collect();
        all.into_iter().collect::<Vec<_>>().join("; ")
    };
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
        format!(
            "training time of all runs together: {}, at {:.0} to {:.0} images/s a run",
            duration(seconds),
            rates().fold(f64::INFINITY, f64::min),
            rates().fold(0.0, f64::max),
        ),
        format!(
            "again: `cargo xtask reproduce {} --preset {}{} --seeds {}`",
            ledger.experiment.name,
            ledger.scale.preset,
            if ledger.scale.data.is_some() { " --data DIR" } else { "" },
            ledger.scale.seeds,
        ),
    ]
}

/// What the seeds of a row measured.
struct Measured {
    top1: Vec<f64>,
    mean: Option<f64>,
    /// Of one seed.
    standard_error: Option<f64>,
}

impl Measured {
    fn of(ledger: &Ledger, row: &Row) -> Self {
        let records = || ledger.finished().filter(|(entry, _)| entry.cell.row == *row);
        let top1: Vec<_> = records().map(|(_, record)| record.result.top1).collect();
        let mean = mean(&top1);
        let images = records().map(|(_, record)| record.result.test_images).min();
        Self {
            standard_error: mean.zip(images).map(|(mean, images)| standard_error(mean, images)),
            mean,
            top1,
        }
    }

    /// Difference of the means, and the standard error of one seed's difference, as if the two were independent: they
    /// share their test images, so it is rather less.
    fn minus(&self, other: &Self) -> Option<(f64, f64)> {
        let error = self.standard_error?.hypot(other.standard_error?);
        Some((self.mean? - other.mean?, error))
    }
}

/// The rows in the order of the table.
fn rows(ledger: &Ledger) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in &ledger.entries {
        if !rows.contains(&entry.cell.row) {
            rows.push(entry.cell.row);
        }
    }
    rows
}

fn network(row: &Row) -> String {
    match row.setting {
        Setting::Bnn => network_title(row.network),
        Setting::Bwn => format!("{}, BWN", network_title(row.network)),
    }
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

fn list(items: Vec<String>) -> String {
    items.iter().map(|item| item_lines(item)).collect()
}

/// A list's item, in lines that a terminal shows whole if the words allow.
fn item_lines(item: &str) -> String {
    const COLUMNS: usize = 100;
    let (mut text, mut column) = ("-".to_owned(), 1);
    for word in item.split_whitespace() {
        let width = 1 + word.chars().count();
        if column + width > COLUMNS {
            text += "\n ";
            column = 1;
        }
        text.push(' ');
        text += word;
        column += width;
    }
    text + "\n"
}
