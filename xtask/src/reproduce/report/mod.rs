//! What people read: `table.md`, which the terminal shows too, and the figures.

mod differences;
mod markdown;
mod text_table;

use super::files;
use super::options::Options;
use super::study::Study;
use anyhow::Result;

/// Name of the page to open first.
pub(crate) const FILE: &str = "table.md";

/// Writes every part of the report, each file whole or not at all, and returns the tables for a terminal.
///
/// # Errors
/// Names the file.
pub(crate) fn write(studies: &[Study<'_>], options: &Options) -> Result<String> {
    let folder = options.folder();
    let text = markdown::page(studies, options);
    files::replace(&folder.join(FILE), &text)?;
    Ok(text)
}
