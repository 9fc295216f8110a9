//! What stdout and stderr are connected to.

use console::Term;

/// The width of stdout; `None` when it is no terminal, so nothing must be cut.
pub(crate) fn width() -> Option<usize> {
    let term = Term::stdout();
    if !term.is_term() {
        return None;
    }
    term.size_checked().map(|(_, columns)| usize::from(columns))
}

/// Whether stderr is a terminal, so that progress bars can be drawn.
pub(crate) fn is_watched() -> bool {
    Term::stderr().is_term()
}

/// Whether the user can be asked questions.
pub(crate) fn is_interactive() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin()) && Term::stderr().is_term()
}
