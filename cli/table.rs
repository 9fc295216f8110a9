//! Tables for people and CSV for spreadsheets. Pure: rows in, text out.

use console::{Alignment, measure_text_width, pad_str, truncate_str};

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text, to the left.
    Left,
    /// Numbers, to the right.
    Right,
    /// Long text, to the left; gives way when the terminal is narrow.
    Flexible,
}

/// Space between two columns.
const GAP: usize = 2;
/// A flexible column never becomes narrower than this.
const NARROWEST: usize = 12;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings. Without any text in them there is no heading line.
    pub(crate) fn new(columns: &[(&'static str, Column)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; a value a column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A line break inside a title would tear the table.
        self.rows.push(cells.into_iter().map(|cell| cell.replace(['\n', '\r', '\t'], " ")).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, at most `width` columns wide if that is given; every line ends with a line end.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let headings = self.columns.iter().map(|(heading, _)| *heading);
        let mut text = String::new();
        if self.columns.iter().any(|(heading, _)| !heading.is_empty()) {
            self.line(headings, &widths, &mut text);
        }
        for row in &self.rows {
            self.line(row.iter().map(String::as_str), &widths, &mut text);
        }
        text
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize], text: &mut String) {
        let start = text.len();
        for ((cell, width), (_, column)) in cells.zip(widths).zip(&self.columns) {
            let alignment = if *column == Column::Right { Alignment::Right } else { Alignment::Left };
            let cell = truncate_str(cell, *width, "…");
            if text.len() > start {
                text.push_str(&" ".repeat(GAP));
            }
            text.push_str(&pad_str(&cell, *width, alignment, None));
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }

    /// What each column takes: as much as its widest cell, but flexible ones give way until the line fits.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let widest =
            |place: usize| self.rows.iter().filter_map(|row| row.get(place)).map(|cell| measure_text_width(cell)).max();
        let mut widths: Vec<usize> = (self.columns.iter().enumerate())
            .map(|(place, (heading, _))| measure_text_width(heading).max(widest(place).unwrap_or(0)))
            .collect();
        let Some(limit) = limit else { return widths };
        let flexible: Vec<usize> =
            (0..widths.len()).filter(|place| self.columns[*place].1 == Column::Flexible).collect();
        let mut excess = (widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)).saturating_sub(limit);
        while excess > 0 {
            let Some(place) = flexible.iter().copied().max_by_key(|place| widths[*place]) else { break };
            if widths[place] <= NARROWEST {
                break;
            }
            widths[place] -= 1;
            excess -= 1;
        }
        widths
    }
}

/// One record of CSV as RFC 4180 has it, with its line end.
pub(crate) fn csv_record<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let fields: Vec<String> = fields.into_iter().map(csv_field).collect();
    format!("{}\r\n", fields.join(","))
}

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[("KEY", Column::Left), ("TITLE", Column::Flexible), ("POINTS", Column::Right)]);
        table.row(["PROJ-9".into(), "Checkout\nflow".into(), "5".into()]);
        table.row(["PROJ-10".into(), "見積もりを画面に出す".into(), "13".into()]);
        table
    }

    #[test]
    fn columns_line_up_also_under_wide_characters() {
        insta::assert_snapshot!(sample().render(None), @r"
        KEY      TITLE                 POINTS
        PROJ-9   Checkout flow              5
        PROJ-10  見積もりを画面に出す      13
        ");
    }

    #[test]
    fn long_text_gives_way_and_numbers_never_do() {
        insta::assert_snapshot!(sample().render(Some(30)), @r"
        KEY      TITLE          POINTS
        PROJ-9   Checkout flow       5
        PROJ-10  見積もりを画…      13
        ");
    }

    #[test]
    fn csv_quotes_what_it_must_and_nothing_else() {
        assert_eq!(
            csv_record(["plain", "a,b", "say \"x\"", "two\nlines", ""]),
            "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\r\n"
        );
    }
}
