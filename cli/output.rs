//! The result of a command on stdout: indented JSON for programs, text for people.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Prints `view` as JSON, or the text that `render` makes of it.
pub(crate) fn print<T: Serialize>(json: bool, view: &T, render: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, view)?;
        out.write_all(b"\n")?;
    } else {
        out.write_all(render(view).as_bytes())?;
    }
    Ok(out.flush()?)
}
