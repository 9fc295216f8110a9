//! What kind of place we print to.

use console::Term;

/// How wide stdout is; `None` when it is no terminal, and nothing is to be cut.
pub(crate) fn width() -> Option<usize> {
    let term = Term::stdout();
    if !term.is_term() {
        return None;
    }
    term.size_checked().map(|(_, columns)| usize::from(columns))
}

/// Whether somebody watches stderr, so that progress bars make sense.
pub(crate) fn is_watched() -> bool {
    Term::stderr().is_term()
}

/// Whether questions can be asked and answered.
pub(crate) fn is_interactive() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin()) && Term::stderr().is_term()
}
