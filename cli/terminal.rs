//! What stdout and stderr are connected to: how wide it is, and whether it has colours.

use clap::ValueEnum;
use console::Term;

/// The width of a terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set (default)
    #[default]
    Auto,
    /// Also into pipes and files
    Always,
    /// Nowhere
    Never,
}

/// Decides about colours, once, before anything is printed.
pub(crate) fn set_colour(choice: Colour) {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let plain = is_set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    console::set_colors_enabled(is_coloured(choice, plain, Term::stdout().is_term()));
    console::set_colors_enabled_stderr(is_coloured(choice, plain, Term::stderr().is_term()));
}

fn is_coloured(choice: Colour, plain: bool, is_terminal: bool) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => is_terminal && !plain,
    }
}

/// Whether stdout shows colours.
pub(crate) fn has_colour() -> bool {
    console::colors_enabled()
}

/// The width that fits stdout: COLUMNS, else that of the terminal. `None` when it is neither, so nothing must be cut.
pub(crate) fn width() -> Option<usize> {
    let term = Term::stdout();
    let size = term.is_term().then(|| term.size_checked().map_or(0, |(_, columns)| usize::from(columns)));
    let columns = std::env::var_os("COLUMNS");
    width_of(columns.as_ref().and_then(|columns| columns.to_str()), size)
}

fn width_of(columns: Option<&str>, terminal: Option<usize>) -> Option<usize> {
    let named = columns.and_then(|text| text.trim().parse().ok()).filter(|columns| *columns > 0);
    named.or_else(|| terminal.map(|columns| if columns == 0 { USUAL_WIDTH } else { columns }))
}

/// Whether stderr is a terminal, so that progress bars can be drawn.
pub(crate) fn is_watched() -> bool {
    Term::stderr().is_term()
}

/// Whether the user can be asked questions.
pub(crate) fn is_interactive() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin()) && Term::stderr().is_term()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_is_that_of_columns_or_of_the_terminal() {
        assert_eq!(width_of(None, None), None);
        assert_eq!(width_of(None, Some(160)), Some(160));
        assert_eq!(width_of(None, Some(0)), Some(80));
        assert_eq!(width_of(Some("100"), Some(160)), Some(100));
        assert_eq!(width_of(Some("100"), None), Some(100));
        assert_eq!(width_of(Some("wide"), None), None);
    }

    #[test]
    fn colours_are_for_terminals_unless_they_are_asked_for() {
        assert!(is_coloured(Colour::Auto, false, true));
        assert!(!is_coloured(Colour::Auto, true, true) && !is_coloured(Colour::Auto, false, false));
        assert!(is_coloured(Colour::Always, true, false) && !is_coloured(Colour::Never, false, true));
    }
}
