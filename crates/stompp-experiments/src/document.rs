//! A document with tables and figures that are made from the archive.
//!
//! Two lines mark each section: `<!-- reproduce REQUEST -->` and `<!-- end -->`. [`Document::update`] replaces the text between them
//! by the section that the request describes.

use crate::archive::Archive;
use crate::error::{ExperimentError, Result, io_error};
use crate::experiment::Experiment;
use crate::files;
use crate::report;
use crate::report::RenderedFigure;
use crate::run_index::RunIndex;
use crate::setup::Setup;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Begins the line before a section.
const BEGIN: &str = "<!-- reproduce ";
/// Ends the line before a section.
const CLOSE: &str = " -->";
/// The line after a section.
const END: &str = "<!-- end -->";

/// The content of one section of a document.
#[derive(Clone, Debug)]
pub struct SectionRequest {
    /// The experiments, in order.
    pub experiments: Vec<Experiment>,
    /// The setup of their runs.
    pub setup: Setup,
    /// The command that trains the runs. The section shows it to readers.
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
    /// Makes every section again and returns the paths of the files that differ. Writes these files unless `check` is set. `request`
    /// parses the words between `<!-- reproduce` and `-->`.
    ///
    /// # Errors
    /// Returns [`ExperimentError::Io`] if a file cannot be read or written, [`ExperimentError::InvalidMark`] if a mark has no end,
    /// [`ExperimentError::Request`] if `request` fails, and [`ExperimentError::Section`] if a section cannot be made from the archive.
    pub fn update<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        check: bool,
        request: impl Fn(&str) -> Result<SectionRequest, E>,
    ) -> Result<Vec<PathBuf>, ExperimentError> {
        let before = read(self.path)?;
        let (text, figures) = self.with_new_sections(&before, request)?;
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

    /// Returns the text with every section made again, and the figures of the sections.
    fn with_new_sections<E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        text: &str,
        request: impl Fn(&str) -> Result<SectionRequest, E>,
    ) -> Result<(String, Vec<RenderedFigure>)> {
        let invalid = |problem: String| ExperimentError::InvalidMark {
            path: self.path.to_owned(),
            problem,
        };
        let (mut made, mut figures) = (String::new(), Vec::new());
        let mut rest = text;
        while let Some(at) = line_beginning(rest, BEGIN) {
            let (before, marked) = rest.split_at(at);
            let Some((line, inside)) = marked.split_once('\n') else {
                return Err(invalid("a mark is the last line".to_owned()));
            };
            let Some(end) = line_beginning(inside, END) else {
                return Err(invalid(format!("{line} has no {END} after it")));
            };
            if line_beginning(&inside[..end], BEGIN).is_some() {
                return Err(invalid(format!("{line} has no {END} before the next one")));
            }
            let words = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(CLOSE));
            let words = words.ok_or_else(|| invalid(format!("{line} does not end in -->")))?;
            let request = request(words).map_err(|error| ExperimentError::Request {
                path: self.path.to_owned(),
                line: line.to_owned(),
                source: error.into(),
            })?;
            let (section, drawn) = self.section(request).map_err(|error| ExperimentError::Section {
                path: self.path.to_owned(),
                source: Box::new(error),
            })?;
            made += &format!("{before}{line}\n\n{section}\n");
            figures.extend(drawn);
            rest = &inside[end..];
        }
        Ok((made + rest, figures))
    }

    /// Makes the section of the runs that the archive has.
    fn section(&self, request: SectionRequest) -> Result<(String, Vec<RenderedFigure>)> {
        let SectionRequest {
            experiments,
            setup,
            command,
        } = request;
        let runs = experiments
            .iter()
            .flat_map(|experiment| experiment.runs.iter().cloned());
        // The folder of the archive has no run directories, so all runs come from the archive.
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
    fs::read_to_string(path).map_err(io_error("read", path))
}

/// The position of the first line of `text` that begins with `words`.
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
    fn request(words: &str) -> Result<SectionRequest, String> {
        let setup = Setup {
            seeds: 2,
            ..Setup::new(Preset::Smoke)
        };
        let experiment = builtin::ALL.iter().find(|experiment| experiment.name == words);
        let experiment = experiment.ok_or_else(|| format!("{words} is no experiment"))?;
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
