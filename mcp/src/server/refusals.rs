//! Errors of the protocol itself. They repeat what was asked for, which may hide something or be endless: it is cleaned, as answers are.

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::json;

use crate::answer::Problem;
use crate::clean;

/// The longest message and the longest word of a client that is repeated, in characters.
const MESSAGE: usize = 500;
const WORD: usize = 200;

/// A word of a client, as it is repeated.
pub(super) fn word(text: &str) -> String {
    clean::cut(&clean::one_line(text), WORD)
}

fn message(text: &str) -> String {
    clean::cut(&clean::one_line(text), MESSAGE)
}

pub(super) fn invalid(text: &str) -> ErrorData {
    ErrorData::invalid_params(message(text), None)
}

pub(super) fn internal(problem: &Problem) -> ErrorData {
    ErrorData::internal_error(message(&problem.to_string()), None)
}

pub(super) fn no_resource(problem: &Problem, uri: &str) -> ErrorData {
    ErrorData::resource_not_found(message(&problem.to_string()), Some(json!({"uri": word(uri)})))
}

pub(super) fn no_method(method: &str) -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, word(method), None)
}
