//! What people read: `report.html`, `table.md`, which the terminal shows too, and the figures.

mod content;
mod differences;
mod extras;
mod figures;
mod html;
mod markdown;
mod section;
mod text_table;

use super::files;
use super::options::Options;
use super::study::Study;
use anyhow::Result;
use content::{Block, Page};
pub(crate) use section::section;

/// Name of the page to open first.
pub(crate) const FILE: &str = "report.html";

/// Name of the tables as text.
pub(crate) const TABLES: &str = "table.md";

/// Writes every part of the report, each file whole or not at all, and returns the tables for a terminal.
///
/// # Errors
/// Names the file.
pub(crate) fn write(studies: &[Study<'_>], options: &Options) -> Result<String> {
    let folder = options.folder();
    let page = Page::new(studies, &options.again())?;
    let text = markdown::text(&page);
    files::replace(&folder.join(TABLES), &text)?;
    files::create_folder(&folder.join("figures"))?;
    for block in page.chapters.iter().flat_map(|chapter| &chapter.blocks) {
        if let Block::Figure(drawn) = block {
            let path = |ending: &str| folder.join("figures").join(format!("{}.{ending}", drawn.name));
            files::replace(&path("svg"), &drawn.svg)?;
            files::replace(&path("png"), &drawn.png)?;
        }
    }
    let preset = studies.first().map(|study| study.ledger.scale.preset.name());
    let title = format!("StoMPP, reproduced at preset {}", preset.unwrap_or("none"));
    files::replace(&folder.join(FILE), html::text(&page, &title))?;
    Ok(text)
}
