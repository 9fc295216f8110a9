//! Tables for people. Pure: rows in, text out.
//!
//! A table fits the width it is given: long text is cut or wrapped, and columns that matter less are left out before the
//! rest becomes unreadable. What comes from outside cannot move the terminal: see [`printable`].

use console::{Alignment, measure_text_width, pad_str, truncate_str};
use contextcore_core::model::printable;

use crate::terminal;
use crate::tone::Tone;

/// What a column holds, and what becomes of it when the table is too wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text, aligned left.
    Left,
    /// Numbers, aligned right.
    Right,
    /// Long text, aligned left; cut when there is no room.
    Flexible,
    /// Text that must stay whole: it continues on further lines.
    Wrapped,
    /// As `Left`, and left out when there is no room; the lowest rank goes first.
    SpareLeft(u8),
    /// As `Right`, and left out when there is no room; the lowest rank goes first.
    SpareRight(u8),
}

impl Column {
    fn shrinks(self) -> bool {
        matches!(self, Self::Flexible | Self::Wrapped)
    }

    fn rank(self) -> Option<u8> {
        match self {
            Self::SpareLeft(rank) | Self::SpareRight(rank) => Some(rank),
            _ => None,
        }
    }

    fn alignment(self) -> Alignment {
        if matches!(self, Self::Right | Self::SpareRight(_)) { Alignment::Right } else { Alignment::Left }
    }
}

/// A cell: a text on one line, and its tone.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: &str, tone: Tone) -> Self {
        Self { text: printable::one_line(text).into_owned(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(&text, Tone::Plain)
    }
}

/// Space between two columns.
const GAP: usize = 2;
/// Columns are left out rather than shrinking long text below this.
const COMFORTABLE: usize = 28;
/// Long text never becomes narrower than this.
const NARROWEST: usize = 12;
/// Nor any other column than this.
const SHORTEST: usize = 5;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Column)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings. When all of them are empty, there is no heading line.
    pub(crate) fn new(columns: &[(&str, Column)]) -> Self {
        Self { columns: columns.iter().map(|(name, column)| ((*name).to_owned(), *column)).collect(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, at most `width` columns wide if that is given, in colours where stdout has them.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        self.draw(width, terminal::has_colour())
    }

    fn draw(&self, width: Option<usize>, colour: bool) -> String {
        let widths = self.widths(width);
        let mut text = String::new();
        if self.columns.iter().any(|(heading, _)| !heading.is_empty()) {
            let headings: Vec<Cell> = self.columns.iter().map(|(heading, _)| Cell::from(heading.clone())).collect();
            self.row_text(&headings, &widths, colour, &mut text);
        }
        for row in &self.rows {
            self.row_text(row, &widths, colour, &mut text);
        }
        text
    }

    /// One row: a line, or several where a cell wraps.
    fn row_text(&self, cells: &[Cell], widths: &[Option<usize>], colour: bool, text: &mut String) {
        let shown: Vec<(Vec<String>, usize, Column, Tone)> = (cells.iter().zip(widths).zip(&self.columns))
            .filter_map(|((cell, width), (_, column))| {
                let width = (*width)?;
                let lines = match column {
                    Column::Wrapped => wrapped(&cell.text, width),
                    _ => vec![truncate_str(&cell.text, width, "…").into_owned()],
                };
                Some((lines, width, *column, cell.tone))
            })
            .collect();
        let height = shown.iter().map(|(lines, ..)| lines.len()).max().unwrap_or(0);
        for at in 0..height {
            let line = |(lines, width, column, tone): &(Vec<String>, usize, Column, Tone)| {
                (lines.get(at).cloned().unwrap_or_default(), *width, *column, *tone)
            };
            text.push_str(&line_text(shown.iter().map(line).collect(), colour));
            text.push('\n');
        }
    }

    /// The width of each column: that of its widest cell, less where the limit asks for it, `None` for one that is left out.
    fn widths(&self, limit: Option<usize>) -> Vec<Option<usize>> {
        let widest = |place: usize| {
            self.rows.iter().filter_map(|row| row.get(place)).map(|cell| measure_text_width(&cell.text)).max()
        };
        let mut widths: Vec<Option<usize>> = (self.columns.iter().enumerate())
            .map(|(place, (heading, _))| Some(measure_text_width(heading).max(widest(place).unwrap_or(0))))
            .collect();
        let Some(limit) = limit else { return widths };
        self.leave_out(&mut widths, limit);
        self.shrink(&mut widths, limit, NARROWEST, Column::shrinks);
        self.shrink(&mut widths, limit, SHORTEST, |column| column.alignment() == Alignment::Left);
        widths
    }

    /// Leaves out spare columns until the rest fits with comfortable room for long text.
    fn leave_out(&self, widths: &mut [Option<usize>], limit: usize) {
        let needed = |width: usize, column: Column| if column.shrinks() { width.min(COMFORTABLE) } else { width };
        loop {
            let least = widths.iter().zip(&self.columns).map(|(width, (_, column))| width.map(|w| needed(w, *column)));
            if total(least) <= limit {
                return;
            }
            let kept = self.columns.iter().enumerate().filter(|(place, _)| widths[*place].is_some());
            let ranked = kept.filter_map(|(place, (_, column))| Some((column.rank()?, place)));
            let Some((_, place)) = ranked.min() else { return };
            widths[place] = None;
        }
    }

    /// Takes from the widest of some columns, down to a least width, until the table fits.
    fn shrink(&self, widths: &mut [Option<usize>], limit: usize, least: usize, may: impl Fn(Column) -> bool) {
        let mut excess = total(widths.iter().copied()).saturating_sub(limit);
        while excess > 0 {
            let candidates = (0..widths.len()).filter(|place| may(self.columns[*place].1));
            let widest = candidates.filter_map(|place| Some((widths[place]?, place))).max_by_key(|(width, _)| *width);
            let Some((width, place)) = widest.filter(|(width, _)| *width > least) else { return };
            widths[place] = Some(width - 1);
            excess -= 1;
        }
    }
}

/// What is known of one thing: a name and a value a row. What is not known has no row.
#[derive(Debug)]
pub(crate) struct Facts(Table);

impl Facts {
    pub(crate) fn new() -> Self {
        Self(Table::new(&[("", Column::Left), ("", Column::Wrapped)]))
    }

    pub(crate) fn row(&mut self, name: &str, value: impl Into<Option<String>>) {
        self.toned(name, value, Tone::Plain);
    }

    pub(crate) fn toned(&mut self, name: &str, value: impl Into<Option<String>>, tone: Tone) {
        if let Some(value) = value.into().filter(|value| !value.is_empty()) {
            self.0.row([Cell::from(format!("  {name}")), Cell::new(&value, tone)]);
        }
    }

    pub(crate) fn render(&self, width: Option<usize>) -> String {
        self.0.render(width)
    }
}

/// The width of a line with these columns.
fn total(widths: impl Iterator<Item = Option<usize>>) -> usize {
    let (sum, count) = widths.flatten().fold((0, 0), |(sum, count), width| (sum + width, count + 1));
    sum + GAP * usize::saturating_sub(count, 1)
}

/// One line, without spaces at its end.
fn line_text(cells: Vec<(String, usize, Column, Tone)>, colour: bool) -> String {
    let end = cells.iter().rposition(|(text, ..)| !text.trim_end().is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (place, (text, width, column, tone)) in cells.into_iter().take(end).enumerate() {
        if place > 0 {
            line.push_str(&" ".repeat(GAP));
        }
        let padding = width.saturating_sub(measure_text_width(&text));
        if column.alignment() == Alignment::Right {
            line.push_str(&pad_str("", padding, Alignment::Left, None));
        }
        let is_last = place + 1 == end;
        line.push_str(&tone.paint(if is_last { text.trim_end() } else { &text }, colour));
        if column.alignment() == Alignment::Left && !is_last {
            line.push_str(&" ".repeat(padding));
        }
    }
    line
}

/// A text in lines of at most `width`, broken between words where that is possible.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        let needed = measure_text_width(word) + usize::from(!line.is_empty());
        if !line.is_empty() && measure_text_width(&line) + needed > width {
            lines.push(std::mem::take(&mut line));
        } else if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if !line.is_empty() && measure_text_width(&line) + measure_text_width(c.encode_utf8(&mut [0; 4])) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[
            ("KEY", Column::Left),
            ("TITLE", Column::Flexible),
            ("OWNER", Column::SpareLeft(1)),
            ("POINTS", Column::Right),
        ]);
        table.row(["PROJ-9".to_owned(), "Checkout\nflow".into(), "Ada".into(), "5".into()]);
        table.row([
            "PROJ-10".to_owned(),
            "見積もりを画面に出す, in every currency we sell".into(),
            "Grace".into(),
            "13".into(),
        ]);
        table
    }

    #[test]
    fn columns_line_up_under_wide_characters() {
        insta::assert_snapshot!("table_whole", sample().draw(None, false));
    }

    #[test]
    fn what_matters_less_goes_first_then_long_text_is_cut_and_numbers_never() {
        let narrower = [58, 50, 30].map(|width| sample().draw(Some(width), false));
        insta::assert_snapshot!("table_narrower", narrower.join("\n"));
    }

    #[test]
    fn every_line_fits_and_wrapped_text_stays_whole() {
        let mut table = Table::new(&[("", Column::Left), ("", Column::Wrapped)]);
        let words =
            "blocked by OPS-4, waiting for the vendor of the payment terminal, averyveryverylongwordwithoutanyspace";
        table.row(["  reason".to_owned(), words.to_owned()]);
        for width in [24, 30, 80] {
            let text = table.draw(Some(width), false);
            assert!(text.lines().all(|line| measure_text_width(line) <= width), "{width}:\n{text}");
            let letters = |text: &str| text.replace(char::is_whitespace, "");
            assert_eq!(letters(&text), letters(&format!("reason{words}")), "{width}");
        }
        assert_eq!(table.draw(None, false).lines().count(), 1);
        for width in 24..90 {
            let text = sample().draw(Some(width), false);
            assert!(text.lines().all(|line| measure_text_width(line) <= width), "{width}:\n{text}");
        }
    }

    #[test]
    fn colours_change_no_column() {
        let mut table = Table::new(&[("KEY", Column::Left), ("STATUS", Column::Left), ("TITLE", Column::Flexible)]);
        let key = Cell::from("A-1".to_owned());
        table.row([key.clone(), Cell::new("done", Tone::Good), Cell::from("One".to_owned())]);
        table.row([key, Cell::new("blocked", Tone::Bad), Cell::from("Two".to_owned())]);
        let coloured = table.draw(Some(80), true);
        assert!(coloured.contains("\u{1b}[31mblocked\u{1b}[0m  Two"), "{coloured}");
        let plain = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, table.draw(Some(80), false));
    }

    #[test]
    fn a_title_cannot_move_the_terminal() {
        let mut table = Table::new(&[("TITLE", Column::Left)]);
        table.row(["\u{1b}[2Jgone\u{202e}\u{200b}\u{9b}H\ttab".to_owned()]);
        assert_eq!(table.draw(None, false), "TITLE\n\\u{1b}[2Jgone\\u{202e}\\u{200b}\\u{9b}H tab\n");
    }
}
