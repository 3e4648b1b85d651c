//! Markdown tables that are also readable in a terminal.
//!
//! The crates `comfy-table` and `tabled` do not fit: their Markdown styles write no `---:` below a column of numbers. These tables are in
//! docs/results.md, and its bytes are compared with tables made from the archive.

use std::fmt;

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table of text. Every row has one entry for each column.
#[derive(Clone, Debug)]
pub(crate) struct TextTable {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// Panics if the row does not have one entry for each column.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.columns.len(), "one entry for each column");
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Headings of the columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Alignment of each column.
    pub(crate) fn alignments(&self) -> impl Iterator<Item = Align> {
        self.columns.iter().map(|(_, side)| *side)
    }

    /// The rows, top to bottom.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.rows.iter().map(Vec::as_slice)
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: &String| text.chars().count();
        let widths: Vec<_> = (0..self.columns.len())
            .map(|column| {
                let entries = self.rows.iter().map(|row| width(&row[column]));
                entries
                    .chain([width(&self.columns[column].0), 3])
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut line = |entries: &mut dyn Iterator<Item = &String>| {
            for ((entry, (_, side)), &width) in entries.zip(&self.columns).zip(&widths) {
                match side {
                    Align::Left => write!(f, "| {entry:<width$} ")?,
                    Align::Right => write!(f, "| {entry:>width$} ")?,
                }
            }
            writeln!(f, "|")
        };
        line(&mut self.columns.iter().map(|(name, _)| name))?;
        let rules: Vec<_> = self
            .columns
            .iter()
            .zip(&widths)
            .map(|((_, side), width)| match side {
                Align::Left => "-".repeat(*width),
                Align::Right => "-".repeat(width - 1) + ":",
            })
            .collect();
        line(&mut rules.iter())?;
        for row in &self.rows {
            line(&mut row.iter())?;
        }
        Ok(())
    }
}

/// Formats a number for a table.
pub(super) fn number(value: f64) -> String {
    format!("{value:.1}")
}

/// Formats a number for a table; `without` if there is none.
pub(super) fn number_or(value: Option<f64>, without: &str) -> String {
    value.map_or(without.to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = TextTable::new(&[("method", Align::Left), ("%", Align::Right)]);
        table.push(vec!["STE".into(), "9.5".into()]);
        table.push(vec!["StoMPP ± x".into(), "31.25".into()]);
        let expected = "\
| method     |     % |
| ---------- | ----: |
| STE        |   9.5 |
| StoMPP ± x | 31.25 |
";
        assert_eq!(table.to_string(), expected);
    }
}
