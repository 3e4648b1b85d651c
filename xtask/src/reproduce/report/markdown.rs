//! The report as text that is Markdown and looks well in a terminal, too. It has no figures.

use super::content::{Block, Page};
use super::text_table::{Side, TextTable};
use crate::reproduce::finding::Finding;

/// The whole text.
pub(super) fn text(page: &Page) -> String {
    let chapters = page.chapters.iter().flat_map(|chapter| {
        let title = format!("# {}\n", chapter.title);
        std::iter::once(title).chain(chapter.blocks.iter().filter_map(block))
    });
    let sections: Vec<_> = chapters.chain(page.closing.iter().filter_map(block)).collect();
    sections.join("\n")
}

fn block(block: &Block) -> Option<String> {
    Some(match block {
        Block::Heading(title) => format!("## {title}\n"),
        Block::Paragraph(text) => format!("{text}\n"),
        Block::Table(table) => table.to_string(),
        Block::Findings(findings) => table(findings).to_string(),
        Block::List(items) => list(items),
        Block::Figure(_) | Block::Picture(..) => return None,
    })
}

/// A list.
pub(super) fn list(items: &[String]) -> String {
    items.iter().map(|item| item_lines(item)).collect()
}

/// Findings as a table.
pub(super) fn table(findings: &[Finding]) -> TextTable {
    let mut table = TextTable::new(&[("claim", Side::Left), ("verdict", Side::Left), ("evidence", Side::Left)]);
    for finding in findings {
        table.push(vec![
            finding.claim.clone(),
            finding.verdict.to_string(),
            finding.evidence.clone(),
        ]);
    }
    table
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
