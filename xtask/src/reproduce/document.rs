//! `tables`: the tables and figures of a document that are made from the archive, made again or compared.
//!
//! A document marks them by lines: `<!-- reproduce EXPERIMENT --preset PRESET --seeds N -->` and `<!-- end -->`. What stands between is made.

use super::archive::Archive;
use super::archive::verb::default_folder;
use super::files;
use super::ledger::Ledger;
use super::report;
use super::study::Study;
use crate::{reproduce, workspace};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `tables`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The document [default: docs/results.md in the workspace]
    document: Option<PathBuf>,
    /// The archive [default: docs/runs in the workspace]
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Change nothing; fail if anything would change
    #[arg(long)]
    check: bool,
}

/// What begins the line before a part that is made.
const BEGIN: &str = "<!-- reproduce ";
const END: &str = "<!-- end -->";

/// Makes the tables of the document again, or compares them.
pub(crate) fn run(options: &Options) -> Result<()> {
    let document = options
        .document
        .clone()
        .unwrap_or_else(|| workspace::root().join("docs/results.md"));
    let archive = Archive::new(options.archive.clone().unwrap_or_else(default_folder));
    let changed = update(&document, &archive, options.check)?;
    if changed.is_empty() {
        stompp_console::outln!(
            "every table and figure of {} is what the archive makes",
            document.display()
        );
    } else if options.check {
        bail!(
            "not what the archive makes (`cargo xtask tables` makes them again):\n  {}",
            changed.join("\n  ")
        );
    } else {
        stompp_console::outln!("made again:\n  {}", changed.join("\n  "));
    }
    Ok(())
}

/// Names what differs from what `archive` makes, and writes it unless `check`.
fn update(document: &Path, archive: &Archive, check: bool) -> Result<Vec<String>> {
    let before = read(document)?;
    let (text, figures) = remade(&before, archive).with_context(|| document.display().to_string())?;
    let folder = document.parent().unwrap_or(Path::new(".")).join("figures");
    let mut wanted = vec![(document.to_owned(), text)];
    wanted.extend(
        figures
            .into_iter()
            .map(|(name, svg)| (folder.join(format!("{name}.svg")), svg)),
    );
    let mut changed = Vec::new();
    for (path, content) in wanted {
        if path.exists() && read(&path)? == content {
            continue;
        }
        if !check {
            files::create_folder(path.parent().unwrap_or(&folder))?;
            files::replace(&path, &content)?;
        }
        changed.push(path.display().to_string());
    }
    Ok(changed)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Name and SVG of a figure.
type Figure = (String, String);

/// The document with its made parts made again, and their figures.
fn remade(text: &str, archive: &Archive) -> Result<(String, Vec<Figure>)> {
    let (mut made, mut figures) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = line_beginning(rest, BEGIN) {
        let (before, marked) = rest.split_at(at);
        let (line, inside) = marked.split_once('\n').context("a mark is the last line")?;
        let Some(end) = line_beginning(inside, END) else {
            bail!("{line} has no {END} after it");
        };
        if line_beginning(&inside[..end], BEGIN).is_some() {
            bail!("{line} has no {END} before the next one");
        }
        let (section, drawn) = section(&asked(line)?, archive)?;
        made += &format!("{before}{line}\n\n{section}\n");
        figures.extend(drawn);
        rest = &inside[end..];
    }
    Ok((made + rest, figures))
}

/// Where the first line of `text` that begins with `words` begins.
fn line_beginning(text: &str, words: &str) -> Option<usize> {
    let mut places = text.match_indices(words).map(|(place, _)| place);
    places.find(|place| text[..*place].is_empty() || text[..*place].ends_with('\n'))
}

/// A mark's command line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Mark {
    #[command(flatten)]
    options: reproduce::Options,
}

/// What a mark asks for.
fn asked(line: &str) -> Result<reproduce::Options> {
    let words = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->"));
    let words = words.with_context(|| format!("{line} does not end in -->"))?;
    let mark = Mark::try_parse_from(words.split_whitespace());
    Ok(mark.with_context(|| format!("cannot read {line}"))?.options)
}

/// An experiment as far as the archive has its runs.
fn section(options: &reproduce::Options, archive: &Archive) -> Result<(String, Vec<Figure>)> {
    // Run directories are looked for where there are none: only what the archive has counts.
    let nowhere = archive.folder();
    let options = options.with_data_at(nowhere);
    let experiments = options.experiments();
    let ledger = Ledger::open(&experiments, options.scale()?, nowhere, Some(archive.clone()))?;
    let (mut text, mut figures) = (Vec::new(), Vec::new());
    for experiment in experiments {
        let (section, drawn) = report::section(&Study::new(experiment, &ledger), &options.again())?;
        text.push(section);
        figures.extend(drawn.into_iter().map(|figure| (figure.name, figure.svg)));
    }
    Ok((text.join("\n"), figures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::cell::Cell;
    use crate::reproduce::experiments;
    use crate::reproduce::preset::{Preset, Scale};
    use crate::reproduce::testing;

    const DOCUMENT: &str = "# Results\n\n<!-- reproduce length --seeds 2 -->\nold\n<!-- end -->\n\nThe end: `<!-- reproduce nothing -->` is no mark.\n";

    /// A document, and an archive of the runs of the experiment `length`; runs of StoMPP are five points ahead.
    fn bench() -> (tempfile::TempDir, PathBuf, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path().join("runs"));
        let scale = Scale {
            seeds: 2,
            ..Scale::new(Preset::Smoke)
        };
        let length = experiments::ALL.iter().find(|experiment| experiment.name == "length");
        let mut cells = length.unwrap().cells(&scale);
        cells.pop();
        for cell in &cells {
            add(&folder.path().join("out"), &archive, cell);
        }
        let document = folder.path().join("results.md");
        fs::write(&document, DOCUMENT).unwrap();
        (folder, document, archive)
    }

    fn add(out: &Path, archive: &Archive, cell: &Cell) {
        let dir = out.join(cell.name());
        let lead = if cell.row.procedure.order().is_some() { 5.0 } else { 0.0 };
        testing::finish(&dir, cell.config().unwrap(), 40.0 + lead + cell.seed as f64);
        archive.add("smoke", &cell.name(), &dir, None).unwrap();
    }

    #[test]
    fn what_stands_between_the_marks_is_made_from_the_archive() {
        let (folder, document, archive) = bench();
        let written = update(&document, &archive, false).unwrap();
        assert_eq!(written.len(), 3, "the document and two figures: {written:?}");
        let text = read(&document).unwrap();
        for part in [
            "# Results\n\n<!-- reproduce length --seeds 2 -->\n\n11 of 12 runs are finished.",
            "](figures/length-lead.svg)",
            "\n<!-- end -->\n\nThe end: `<!-- reproduce nothing -->` is no mark.\n",
            "cargo xtask reproduce length --preset smoke",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("old"));
        let rows: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for row in [
            "| ResNet-20 | synthetic, 10 classes | StoMPP, 6 epochs of few images | STE (clipped), 6 epochs of few images \
             | +5.0 | +5.0 to +5.0 (n too small) | 2 | unknown |",
            "| ResNet-20 | synthetic, 10 classes | StoMPP+STE (clipped), 6 epochs of few images | 1 | 45.0 | 50.0 | 1.00 | 1.00 |",
        ] {
            assert!(rows.iter().any(|shown| shown == row), "{row}\n{text}");
        }
        assert!(folder.path().join("figures/length-learned.svg").is_file());
        assert!(update(&document, &archive, true).unwrap().is_empty(), "it is as made");
    }

    #[test]
    fn a_check_names_what_is_out_of_date_and_changes_nothing() {
        let (folder, document, archive) = bench();
        update(&document, &archive, false).unwrap();
        let figure = folder.path().join("figures/length-lead.svg");
        for (path, from, to) in [(&document, "45.0", "46.0"), (&figure, "<svg", "<svg ")] {
            let made = read(path).unwrap();
            let edited = made.replacen(from, to, 1);
            assert_ne!(edited, made);
            fs::write(path, &edited).unwrap();
            assert_eq!(update(&document, &archive, true).unwrap(), [path.display().to_string()]);
            assert_eq!(read(path).unwrap(), edited);
            fs::write(path, made).unwrap();
        }
    }

    #[test]
    fn a_run_that_is_added_shows() {
        let (folder, document, archive) = bench();
        update(&document, &archive, false).unwrap();
        let scale = Scale {
            seeds: 2,
            ..Scale::new(Preset::Smoke)
        };
        let length = experiments::ALL.iter().find(|experiment| experiment.name == "length");
        let last = length.unwrap().cells(&scale).pop().unwrap();
        add(&folder.path().join("out"), &archive, &last);
        assert!(!update(&document, &archive, true).unwrap().is_empty());
    }

    #[test]
    fn marks_that_mean_nothing_are_named() {
        let archive = Archive::new("nowhere".into());
        for (text, word) in [
            ("<!-- reproduce nothing -->\n<!-- end -->", "nothing"),
            ("<!-- reproduce length --preset huge -->\n<!-- end -->", "huge"),
            ("<!-- reproduce length -->\n", "<!-- end -->"),
            (
                "<!-- reproduce length -->\n<!-- reproduce depth -->\n<!-- end -->",
                "before the next",
            ),
            ("<!-- reproduce length\n<!-- end -->", "does not end"),
        ] {
            let message = format!("{:#}", remade(text, &archive).unwrap_err());
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn the_tables_of_the_results_are_those_of_the_archive() {
        let document = workspace::root().join("docs/results.md");
        let changed = update(&document, &Archive::new(default_folder()), true).unwrap();
        assert_eq!(changed, [""; 0], "`cargo xtask tables` makes them again");
    }
}
