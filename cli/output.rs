//! The result of a command on stdout: indented JSON for programs, text for people.

use std::borrow::Cow;
use std::io::{self, Write};

use contextcore_core::model::printable;
use serde::Serialize;

use crate::failure::Failure;

/// Prints `view` as JSON, or the text that `render` makes of it.
pub(crate) fn print<T: Serialize>(json: bool, view: &T, render: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let text = if json { format!("{}\n", serde_json::to_string_pretty(view)?) } else { render(view) };
    write(if json { printable::json(&text) } else { text.into() })
}

/// Prints `view` as JSON on one line, or the text that `render` makes of it.
pub(crate) fn print_compact<T: Serialize>(
    json: bool,
    view: &T,
    render: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = if json { format!("{}\n", serde_json::to_string(view)?) } else { render(view) };
    write(if json { printable::json(&text) } else { text.into() })
}

fn write(text: Cow<'_, str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
