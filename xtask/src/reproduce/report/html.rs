//! The report as one page that needs nothing else: no script, no other file, no network; light and dark.

use super::content::{Block, Page};
use super::figures::Drawn;
use super::text_table::{Side, TextTable};
use crate::reproduce::finding::{Finding, Verdict};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// The whole page; `title` names it, and the pictures have their bytes in it.
pub(super) fn text(page: &Page, title: &str) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{0}</h1></header>\n<main>\n",
        escape(title)
    );
    if page.chapters.len() > 1 {
        html += "<nav><ul>\n";
        for chapter in &page.chapters {
            let _ = writeln!(
                html,
                "<li><a href=\"#{}\">{}</a></li>",
                chapter.name,
                escape(chapter.title)
            );
        }
        html += "</ul></nav>\n";
    }
    for chapter in &page.chapters {
        let _ = writeln!(
            html,
            "<section id=\"{}\">\n<h2>{}</h2>",
            chapter.name,
            escape(chapter.title)
        );
        chapter.blocks.iter().for_each(|part| block(&mut html, part));
        html += "</section>\n";
    }
    html += "<section id=\"notes\">\n";
    page.closing.iter().for_each(|part| block(&mut html, part));
    html + "</section>\n</main>\n</body>\n</html>\n"
}

fn block(html: &mut String, block: &Block) {
    // Writing to a string never fails.
    let _ = match block {
        Block::Heading(title) => writeln!(html, "<h3>{}</h3>", prose(title)),
        Block::Paragraph(text) => writeln!(html, "<p>{}</p>", prose(text)),
        Block::List(items) => {
            let items = items.iter().map(|item| format!("<li>{}</li>\n", prose(item)));
            writeln!(html, "<ul>\n{}</ul>", items.collect::<String>())
        }
        Block::Table(content) => writeln!(html, "{}", table(content)),
        Block::Findings(items) => writeln!(
            html,
            "<ul class=\"claims\">\n{}</ul>",
            items.iter().map(claim).collect::<String>()
        ),
        Block::Figure(drawn) => writeln!(html, "{}", figure(drawn)),
        Block::Picture(png, caption) => writeln!(html, "{}", picture(png, caption)),
    };
}

fn table(content: &TextTable) -> String {
    let row = |tag: &str, entries: &mut dyn Iterator<Item = &str>| {
        let cells = entries.zip(content.sides()).map(|(entry, side)| {
            let class = if side == Side::Right { " class=\"number\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", prose(entry))
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows = content
        .rows()
        .map(|entries| row("td", &mut entries.iter().map(String::as_str)));
    format!(
        "<div class=\"wide\"><table>\n<thead>{}</thead>\n<tbody>\n{}</tbody>\n</table></div>",
        row("th", &mut content.names()),
        rows.collect::<String>()
    )
}

fn claim(finding: &Finding) -> String {
    let class = match finding.verdict {
        Verdict::Holds => "holds",
        Verdict::Seen => "seen",
        Verdict::Unclear | Verdict::Untested => "unclear",
        Verdict::Fails => "fails",
    };
    format!(
        "<li><span class=\"verdict {class}\">{}</span> {} <span class=\"evidence\">{}</span></li>\n",
        finding.verdict,
        prose(&finding.claim),
        prose(&finding.evidence)
    )
}

fn figure(drawn: &Drawn) -> String {
    // Black and white follow the page, which may be dark.
    let svg = drawn.svg.replace("\"#000000\"", "\"currentColor\"");
    let svg = svg.replace("\"#FFFFFF\"", "\"var(--paper)\"");
    format!(
        "<figure>\n{}\n<figcaption>{}</figcaption>\n</figure>",
        svg.trim(),
        prose(&drawn.caption)
    )
}

fn picture(png: &[u8], caption: &str) -> String {
    let bytes = BASE64_STANDARD.encode(png);
    let caption = prose(caption);
    format!(
        "<figure>\n<img alt=\"{caption}\" src=\"data:image/png;base64,{bytes}\">\n<figcaption>{caption}</figcaption>\n</figure>"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// Text in which words between backticks are code.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = escape(part);
        html += &if place % 2 == 1 {
            format!("<code>{part}</code>")
        } else {
            part
        };
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_shown_and_not_obeyed() {
        assert_eq!(
            escape("<script>\"&\"</script>"),
            "&lt;script&gt;&quot;&amp;&quot;&lt;/script&gt;"
        );
        assert_eq!(prose("run `a < b` now"), "run <code>a &lt; b</code> now");
    }
}
