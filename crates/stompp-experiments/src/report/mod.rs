//! The report for readers: `report.html`, `table.md`, and the figures.

mod content;
mod differences;
mod extra_tables;
mod figures;
mod html;
mod markdown;
mod section;
mod text_table;

use crate::error::Result;
use crate::experiment::Experiment;
use crate::files;
use crate::run_index::RunIndex;
use content::{Block, Report};
use std::path::Path;

pub(crate) use figures::RenderedFigure;
pub(crate) use section::section;

/// File name of the report as an HTML page.
pub const PAGE: &str = "report.html";

/// File name of the tables as Markdown.
pub(crate) const TABLES: &str = "table.md";

/// Writes every file of the report into `folder`, each atomically, and returns the tables as text.
///
/// # Errors
/// The errors of [`Report::new`], and [`ExperimentError::Io`](crate::ExperimentError::Io) if a file cannot be written.
pub(crate) fn write(
    experiments: &[Experiment],
    index: &RunIndex,
    command: Option<&str>,
    folder: &Path,
) -> Result<String> {
    let report = Report::new(experiments, index, command)?;
    let text = markdown::text(&report);
    files::replace(&folder.join(TABLES), &text)?;
    files::create_folder(&folder.join("figures"))?;
    for block in report.sections.iter().flat_map(|section| &section.blocks) {
        if let Block::Figure(drawn) = block {
            let path = |ending: &str| folder.join("figures").join(format!("{}.{ending}", drawn.name));
            files::replace(&path("svg"), &drawn.svg)?;
            files::replace(&path("png"), &drawn.png)?;
        }
    }
    files::replace(&folder.join(PAGE), html::text(&report))?;
    Ok(text)
}
