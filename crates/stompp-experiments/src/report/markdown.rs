//! The report as Markdown that is also readable in a terminal. It has no figures.

use super::content::{Block, Report};
use super::text_table::{Align, TextTable};
use crate::claim::ClaimTest;

/// The whole text.
pub(super) fn text(report: &Report) -> String {
    let sections = report.sections.iter().flat_map(|section| {
        let title = format!("# {}\n", section.title);
        std::iter::once(title).chain(section.blocks.iter().filter_map(block))
    });
    let sections: Vec<_> = sections.chain(report.notes.iter().filter_map(block)).collect();
    sections.join("\n")
}

fn block(block: &Block) -> Option<String> {
    Some(match block {
        Block::Heading(title) => format!("## {title}\n"),
        Block::Paragraph(text) => format!("{text}\n"),
        Block::Table(table) => table.to_string(),
        Block::Claims(tests) => claims_table(tests).to_string(),
        Block::List(items) => list(items),
        Block::Figure(_) | Block::Image(..) => return None,
    })
}

/// A list.
pub(super) fn list(items: &[String]) -> String {
    items.iter().map(|item| item_lines(item)).collect()
}

/// Claims as a table.
pub(super) fn claims_table(tests: &[ClaimTest]) -> TextTable {
    let mut table = TextTable::new(&[
        ("claim", Align::Left),
        ("verdict", Align::Left),
        ("evidence", Align::Left),
    ]);
    for test in tests {
        table.push(vec![
            test.claim.clone(),
            test.outcome.to_string(),
            test.evidence.clone(),
        ]);
    }
    table
}

/// An item of a list, wrapped at 100 columns.
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
