//! A document with tables and figures that are made from the archive.
//!
//! The document marks them by two lines: `<!-- reproduce REQUEST -->` and `<!-- end -->`. What is between them is replaced by the
//! section that the request describes.

use crate::archive::Archive;
use crate::experiment::Experiment;
use crate::files;
use crate::report;
use crate::report::RenderedFigure;
use crate::run_index::RunIndex;
use crate::setup::Setup;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Begins the line before a section.
const BEGIN: &str = "<!-- reproduce ";
/// Ends the line before a section.
const CLOSE: &str = " -->";
/// The line after a section.
const END: &str = "<!-- end -->";

/// What a mark of a document asks for.
#[derive(Clone, Debug)]
pub struct SectionRequest {
    /// The experiments, one after the other.
    pub experiments: Vec<Experiment>,
    /// The setup of their runs.
    pub setup: Setup,
    /// The command that trains the runs, for readers.
    pub command: String,
}

/// A document with sections made from an archive.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// The Markdown file. Figures are in the folder `figures` beside it.
    pub path: &'a Path,
    /// The archive that has the runs.
    pub archive: &'a Archive,
}

impl Document<'_> {
    /// Makes every section again and returns the paths of the files that differ. They are written unless `check` is set. `request` reads
    /// the words of a mark.
    ///
    /// # Errors
    /// If a file cannot be read or written, a mark has no end, or `request` refuses its words.
    pub fn update(&self, check: bool, request: impl Fn(&str) -> Result<SectionRequest>) -> Result<Vec<PathBuf>> {
        let before = read(self.path)?;
        let (text, figures) = self
            .with_new_sections(&before, request)
            .with_context(|| self.path.display().to_string())?;
        let folder = self.path.parent().unwrap_or(Path::new(".")).join("figures");
        let mut files = vec![(self.path.to_owned(), text)];
        files.extend(
            figures
                .into_iter()
                .map(|figure| (folder.join(format!("{}.svg", figure.name)), figure.svg)),
        );
        let mut changed = Vec::new();
        for (path, content) in files {
            if path.exists() && read(&path)? == content {
                continue;
            }
            if !check {
                files::create_folder(path.parent().unwrap_or(&folder))?;
                files::replace(&path, &content)?;
            }
            changed.push(path);
        }
        Ok(changed)
    }

    /// The text with every section made again, and their figures.
    fn with_new_sections(
        &self,
        text: &str,
        request: impl Fn(&str) -> Result<SectionRequest>,
    ) -> Result<(String, Vec<RenderedFigure>)> {
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
            let words = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(CLOSE));
            let words = words.with_context(|| format!("{line} does not end in -->"))?;
            let request = request(words).with_context(|| format!("cannot read {line}"))?;
            let (section, drawn) = self.section(request)?;
            made += &format!("{before}{line}\n\n{section}\n");
            figures.extend(drawn);
            rest = &inside[end..];
        }
        Ok((made + rest, figures))
    }

    /// The experiments, as far as the archive has their runs.
    fn section(&self, request: SectionRequest) -> Result<(String, Vec<RenderedFigure>)> {
        let SectionRequest {
            experiments,
            setup,
            command,
        } = request;
        let runs = experiments
            .iter()
            .flat_map(|experiment| experiment.runs.iter().cloned());
        // There are no run directories in the archive's folder: only the archive counts.
        let out = self.archive.folder();
        let index = RunIndex::open(runs, setup, out, Some(self.archive.clone()))?;
        let (mut text, mut figures) = (Vec::new(), Vec::new());
        for experiment in &experiments {
            let (section, drawn) = report::section(experiment, &index, Some(&command))?;
            text.push(section);
            figures.extend(drawn);
        }
        Ok((text.join("\n"), figures))
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where the first line of `text` that begins with `words` begins.
fn line_beginning(text: &str, words: &str) -> Option<usize> {
    let mut places = text.match_indices(words).map(|(place, _)| place);
    places.find(|place| text[..*place].is_empty() || text[..*place].ends_with('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::run_spec::RunSpec;
    use crate::setup::Preset;
    use crate::testing;

    const DOCUMENT: &str = "# Results\n\n<!-- reproduce length -->\nold\n<!-- end -->\n\nThe end: `<!-- reproduce nothing -->` is no mark.\n";

    /// The experiment of a mark, with two seeds.
    fn request(words: &str) -> Result<SectionRequest> {
        let setup = Setup {
            seeds: 2,
            ..Setup::new(Preset::Smoke)
        };
        let experiment = builtin::ALL.iter().find(|experiment| experiment.name == words);
        let experiment = experiment.with_context(|| format!("{words} is no experiment"))?;
        Ok(SectionRequest {
            experiments: vec![experiment.experiment(&setup)],
            setup,
            command: format!("reproduce {words}"),
        })
    }

    fn runs() -> Vec<RunSpec> {
        request("length").unwrap().experiments.remove(0).runs
    }

    fn update(path: &Path, archive: &Archive, check: bool) -> Result<Vec<PathBuf>> {
        Document { path, archive }.update(check, request)
    }

    /// A document, and an archive of the runs of the experiment `length` but the last; runs of StoMPP are five points better.
    fn document() -> (tempfile::TempDir, PathBuf, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::new(folder.path().join("runs"));
        let mut runs = runs();
        runs.pop();
        for run in &runs {
            add(&folder.path().join("out"), &archive, run);
        }
        let document = folder.path().join("results.md");
        fs::write(&document, DOCUMENT).unwrap();
        (folder, document, archive)
    }

    fn add(out: &Path, archive: &Archive, run: &RunSpec) {
        let dir = out.join(run.name());
        let gain = if run.row.variant.order().is_some() { 5.0 } else { 0.0 };
        testing::finish(&dir, run.config().unwrap(), 40.0 + gain + run.seed as f64);
        archive.add("smoke", &run.name(), &dir, None).unwrap();
    }

    #[test]
    fn what_is_between_the_marks_is_made_from_the_archive() {
        let (folder, document, archive) = document();
        let written = update(&document, &archive, false).unwrap();
        assert_eq!(written.len(), 3, "the document and two figures: {written:?}");
        let text = read(&document).unwrap();
        for part in [
            "# Results\n\n<!-- reproduce length -->\n\n11 of 12 runs are finished.",
            "](figures/length-lead.svg)",
            "\n<!-- end -->\n\nThe end: `<!-- reproduce nothing -->` is no mark.\n",
            "again: `reproduce length`",
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
        let (folder, document, archive) = document();
        update(&document, &archive, false).unwrap();
        let figure = folder.path().join("figures/length-lead.svg");
        for (path, from, to) in [(&document, "45.0", "46.0"), (&figure, "<svg", "<svg ")] {
            let made = read(path).unwrap();
            let edited = made.replacen(from, to, 1);
            assert_ne!(edited, made);
            fs::write(path, &edited).unwrap();
            assert_eq!(update(&document, &archive, true).unwrap(), std::slice::from_ref(path));
            assert_eq!(read(path).unwrap(), edited);
            fs::write(path, made).unwrap();
        }
    }

    #[test]
    fn a_run_that_is_added_shows() {
        let (folder, document, archive) = document();
        update(&document, &archive, false).unwrap();
        add(&folder.path().join("out"), &archive, &runs().pop().unwrap());
        assert!(!update(&document, &archive, true).unwrap().is_empty());
    }

    #[test]
    fn marks_that_are_wrong_are_named() {
        let archive = Archive::new("nowhere".into());
        let document = Document {
            path: Path::new("results.md"),
            archive: &archive,
        };
        for (text, word) in [
            ("<!-- reproduce nothing -->\n<!-- end -->", "nothing"),
            ("<!-- reproduce length -->\n", "<!-- end -->"),
            (
                "<!-- reproduce length -->\n<!-- reproduce depth -->\n<!-- end -->",
                "before the next",
            ),
            ("<!-- reproduce length\n<!-- end -->", "does not end"),
        ] {
            let message = format!("{:#}", document.with_new_sections(text, request).unwrap_err());
            assert!(message.contains(word), "{message}");
        }
    }
}
