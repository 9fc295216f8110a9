//! The names under which reported work is kept: projects and tasks, percent-encoded.

use std::fmt::Write as _;

use crate::percent::percent_decode;

/// A text in which every byte but letters, digits, `-`, `.`, `_` and `~` is written as `%XX`. A dot at the front is
/// written so too: no file with such a name is hidden.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain && !(byte == b'.' && encoded.is_empty()) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The immutable id of a task, or of a sprint, that a project reported: two teams may both use `T-1`.
pub fn native_id(project: &str, id: &str) -> String {
    format!("{}/{}", percent_encode(project), percent_encode(id))
}

/// The project and the id that make a [`native_id`]; `None` for another text.
pub fn names(native_id: &str) -> Option<(String, String)> {
    let (project, id) = native_id.split_once('/')?;
    Some((percent_decode(project)?, percent_decode(id)?))
}
