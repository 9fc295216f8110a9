//! Words of names that mean the same in every tool: which status is a review, which an impediment.

/// Phrases of status names that mean waiting outside the board.
pub(crate) const BACKLOG: [&str; 1] = ["backlog"];
/// Phrases of status names that mean looking at what somebody else has made.
pub(crate) const REVIEW: [&str; 13] = [
    "review",
    "reviewing",
    "reviewed",
    "reviews",
    "qa",
    "verify",
    "verifying",
    "verification",
    "verified",
    "test",
    "tests",
    "testing",
    "retest",
];
/// Phrases of status names that mean an impediment, unless the configuration lists its own.
pub(crate) const BLOCKED: [&str; 3] = ["blocked", "on hold", "impeded"];

/// Whether a name holds one of the phrases (lower case, single spaces) as whole words: `Unblocked` is not `blocked`.
pub(crate) fn says(name: &str, phrases: &[&str]) -> bool {
    let padded = padded_words(name);
    let whole = |start: usize, end: usize| padded[..start].ends_with(' ') && padded[end..].starts_with(' ');
    phrases.iter().any(|phrase| padded.match_indices(phrase).any(|(start, found)| whole(start, start + found.len())))
}

/// The words of a name in lower case, each between two spaces; a curly apostrophe is a straight one.
fn padded_words(name: &str) -> String {
    let mut padded = String::with_capacity(name.len() + 2);
    padded.push(' ');
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            '\u{2019}' | '\'' => padded.push('\''),
            c if c.is_alphanumeric() => padded.push(c),
            _ if !padded.ends_with(' ') => padded.push(' '),
            _ => {}
        }
    }
    if !padded.ends_with(' ') {
        padded.push(' ');
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_whole_words_whatever_stands_between_them() {
        assert!(says("Code-Review", &REVIEW) && says("ON  HOLD!", &BLOCKED) && says("Won\u{2019}t do", &["won't do"]));
        assert!(!says("Unblocked", &BLOCKED) && !says("Contest", &REVIEW) && !says("", &BACKLOG));
    }
}
