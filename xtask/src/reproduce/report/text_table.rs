//! Tables that are Markdown and look like tables in a terminal, too.

use std::fmt;

/// On which side a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A table of text; every row has as many entries as there are columns.
#[derive(Clone, Debug)]
pub(crate) struct TextTable {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(crate) fn new(columns: &[(&str, Side)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If it has not one entry for each column.
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

    /// On which side the text of each column stands.
    pub(crate) fn sides(&self) -> impl Iterator<Item = Side> {
        self.columns.iter().map(|(_, side)| *side)
    }

    /// The rows, from above.
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
                    Side::Left => write!(f, "| {entry:<width$} ")?,
                    Side::Right => write!(f, "| {entry:>width$} ")?,
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
                Side::Left => "-".repeat(*width),
                Side::Right => "-".repeat(width - 1) + ":",
            })
            .collect();
        line(&mut rules.iter())?;
        for row in &self.rows {
            line(&mut row.iter())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = TextTable::new(&[("method", Side::Left), ("%", Side::Right)]);
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
