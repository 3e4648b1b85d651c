//! `tables`: makes the tables and figures of a document from the archive, or checks them.
//!
//! A document marks each section with a command line: `<!-- reproduce EXPERIMENT --preset PRESET --seeds N -->`.

use super::archive::default_folder;
use crate::usage::UsageError;
use crate::{reproduce, workspace};
use anyhow::{Result, bail};
use clap::{Args, Parser};
use std::error::Error;
use std::path::PathBuf;
use stompp_experiments::{Archive, Document, ExperimentError, SectionRequest};

/// Options of `tables`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The document [default: docs/results.md in the workspace]
    document: Option<PathBuf>,
    /// The archive [default: docs/runs in the workspace]
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Change nothing, and fail if anything would change
    #[arg(long)]
    check: bool,
}

/// The words of a mark.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Mark {
    #[command(flatten)]
    options: reproduce::Options,
}

/// Makes the tables of the document again, or checks them.
pub(crate) fn run(options: &Options) -> Result<()> {
    let document = options
        .document
        .clone()
        .unwrap_or_else(|| workspace::root().join("docs/results.md"));
    let archive = Archive::new(options.archive.clone().unwrap_or_else(default_folder));
    let changed: Vec<_> = update(&document, &archive, options.check)?
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if changed.is_empty() {
        stompp_console::outln!(
            "every table and figure of {} is up to date with the archive",
            document.display()
        );
    } else if options.check {
        bail!(
            "out of date (`cargo xtask tables` updates them):\n  {}",
            changed.join("\n  ")
        );
    } else {
        stompp_console::outln!("updated:\n  {}", changed.join("\n  "));
    }
    Ok(())
}

fn update(path: &std::path::Path, archive: &Archive, check: bool) -> Result<Vec<PathBuf>> {
    let request = |words: &str| {
        request(words, archive).map_err(|error| match error.downcast::<UsageError>() {
            Ok(error) => Box::<dyn Error + Send + Sync>::from(error), // It keeps its type.
            Err(error) => error.into(),
        })
    };
    let updated = Document { path, archive }.update(check, request);
    updated.map_err(|error| match &error {
        // The same mistake on a command line is a usage error.
        ExperimentError::Request { source, .. } if source.is::<UsageError>() => {
            UsageError::new(error.to_string()).into()
        }
        _ => error.into(),
    })
}

/// Parses the words of a mark.
fn request(words: &str, archive: &Archive) -> Result<SectionRequest> {
    let options = Mark::try_parse_from(words.split_whitespace())?.options;
    // The configurations of archived runs have no paths, so any existing folder works.
    let options = options.with_data_at(archive.folder());
    let setup = options.setup()?;
    Ok(SectionRequest {
        experiments: options.experiments(&setup),
        command: options.command(),
        setup,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn marks_are_command_lines() {
        let archive = Archive::new(std::env::temp_dir());
        let asked = request("length --preset small --seeds 2", &archive).unwrap();
        assert_eq!(asked.experiments[0].name, "length");
        assert_eq!((asked.setup.name.as_str(), asked.setup.seeds), ("small", 2));
        assert_eq!(
            asked.command,
            "cargo xtask reproduce length --preset small --data PATH --seeds 2"
        );
    }

    #[test]
    fn marks_that_are_no_command_line_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("results.md");
        for (words, word) in [("nothing", "nothing"), ("length --preset huge", "huge")] {
            fs::write(&document, format!("<!-- reproduce {words} -->\n<!-- end -->")).unwrap();
            let error = update(&document, &Archive::new(folder.path().join("runs")), true).unwrap_err();
            let message = format!("{error:#}");
            assert!(message.contains(word) && message.contains("results.md"), "{message}");
        }
    }

    #[test]
    fn the_tables_of_the_results_are_those_of_the_archive() {
        let document = workspace::root().join("docs/results.md");
        let changed = update(&document, &Archive::new(default_folder()), true).unwrap();
        assert_eq!(changed, Vec::<PathBuf>::new(), "`cargo xtask tables` makes them again");
    }
}
