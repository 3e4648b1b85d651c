//! The report as a single HTML page, light and dark. It needs no script, no other file and no network.
//!
//! `maud` escapes every text. [`PreEscaped`] is only used for the style sheet and the figures, which this program makes itself.

use super::content::{Block, Report};
use super::figures::RenderedFigure;
use super::text_table::{Align, TextTable};
use crate::claim::{ClaimOutcome, ClaimTest};
use base64::prelude::{BASE64_STANDARD, Engine};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");

/// The whole page, images and figures included.
pub(super) fn text(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (report.title) } }
                main {
                    @if report.sections.len() > 1 {
                        nav { ul {
                            @for section in &report.sections {
                                li { a href={ "#" (section.name) } { (section.title) } }
                            }
                        } }
                    }
                    @for section in &report.sections {
                        section id=(section.name) {
                            h2 { (section.title) }
                            @for part in &section.blocks { (block(part)) }
                        }
                    }
                    section id="notes" {
                        @for part in &report.notes { (block(part)) }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// Every block begins a new line, so that a diff of two reports is readable.
fn block(block: &Block) -> Markup {
    html! {
        "\n"
        @match block {
            Block::Heading(title) => h3 { (prose(title)) },
            Block::Paragraph(text) => p { (prose(text)) },
            Block::List(items) => ul { @for item in items { "\n" li { (prose(item)) } } },
            Block::Table(content) => (table(content)),
            Block::Claims(tests) => ul class="claims" { @for test in tests { "\n" (claim(test)) } },
            Block::Figure(drawn) => (figure(drawn)),
            Block::Image(png, caption) => (image(png, caption)),
        }
    }
}

fn table(content: &TextTable) -> Markup {
    let class = |align: Align| (align == Align::Right).then_some("number");
    html! {
        div class="wide" { table {
            thead { tr {
                @for (name, align) in content.names().zip(content.alignments()) { th class=[class(align)] { (prose(name)) } }
            } }
            tbody {
                @for row in content.rows() {
                    "\n"
                    tr { @for (entry, align) in row.iter().zip(content.alignments()) { td class=[class(align)] { (prose(entry)) } } }
                }
            }
        } }
    }
}

fn claim(test: &ClaimTest) -> Markup {
    let class = match test.outcome {
        ClaimOutcome::Holds => "holds",
        ClaimOutcome::TooFewSeeds => "seen",
        ClaimOutcome::Unclear | ClaimOutcome::Untested => "unclear",
        ClaimOutcome::Fails => "fails",
    };
    html! {
        li {
            span class={ "verdict " (class) } { (test.outcome.to_string()) }
            " " (prose(&test.claim)) " "
            span class="evidence" { (prose(&test.evidence)) }
        }
    }
}

fn figure(drawn: &RenderedFigure) -> Markup {
    // Black and white follow the page, which may be dark.
    let svg = drawn.svg.replace("\"#000000\"", "\"currentColor\"");
    let svg = svg.replace("\"#FFFFFF\"", "\"var(--paper)\"");
    html! {
        figure { (PreEscaped(svg.trim())) figcaption { (prose(&drawn.caption)) } }
    }
}

fn image(png: &[u8], caption: &str) -> Markup {
    let source = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png));
    html! {
        figure { img alt=(caption) src=(source); figcaption { (prose(caption)) } }
    }
}

/// Formats a text. Words between backticks are shown as code.
fn prose(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_code_is_marked() {
        assert_eq!(
            prose("<script>\"&\"</script>").into_string(),
            "&lt;script&gt;&quot;&amp;&quot;&lt;/script&gt;"
        );
        assert_eq!(prose("run `a < b` now").into_string(), "run <code>a &lt; b</code> now");
    }
}
