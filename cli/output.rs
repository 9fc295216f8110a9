//! The result of a command on stdout: indented JSON for programs, text for people. What is said beside it, on stderr, is a [`note`].

use std::io::{self, Write};

use contextcore_core::model::printable;
use serde::Serialize;

use crate::failure::Failure;
use crate::{terminal, visible};

/// Prints `view` as JSON, or the text that `render` makes of it.
pub(crate) fn print<T: Serialize>(json: bool, view: &T, render: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let text = if json { format!("{}\n", serde_json::to_string_pretty(view)?) } else { render(view) };
    write(&if json { printable::json(&text) } else { visible::lines(&text, terminal::has_colour()).into() })
}

/// Prints `view` as JSON on one line, or the text that `render` makes of it.
pub(crate) fn print_compact<T: Serialize>(
    json: bool,
    view: &T,
    render: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = if json { format!("{}\n", serde_json::to_string(view)?) } else { render(view) };
    write(&if json { printable::json(&text) } else { visible::lines(&text, terminal::has_colour()).into() })
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Says something on stderr beside the result.
pub(crate) fn note(text: &str) {
    eprintln!("{}", visible::lines(text, console::colors_enabled_stderr()));
}
