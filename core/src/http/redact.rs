//! Makes texts from outside printable: short, on one line, and without credentials.
//!
//! There are two filters, as each has gaps: [`KnownSecrets`] masks the session's own secrets wherever they appear, and
//! [`excerpt`] masks whatever looks like a secret.

use std::borrow::Cow;

use crate::model::secret::REDACTED;

/// How much of a text from outside a message quotes, in characters.
pub const EXCERPT_CHARS: usize = 200;

/// A run of letters and digits of this length that mixes both is taken for a token: words and groups of UUIDs are
/// shorter.
const OPAQUE_RUN: usize = 32;

/// The session's own secrets, in every form in which an answer could repeat them. It has no `Debug` on purpose.
pub(crate) struct KnownSecrets(Vec<String>);

impl KnownSecrets {
    /// Texts shorter than four characters are ignored: masking them would spoil every message. Each is searched for as
    /// it is and as JSON escapes it.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut known = Self(Vec::new());
        secrets.into_iter().for_each(|secret| known.add(&secret));
        known
    }

    /// Adds a secret.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= 4 {
            self.0.extend([json_escaped(secret), secret.to_owned()]);
        }
    }

    /// The text with every known secret masked; borrowed when it has none.
    pub(crate) fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, secret| match text.contains(secret.as_str()) {
            true => Cow::Owned(text.replace(secret.as_str(), REDACTED)),
            false => text,
        })
    }

    /// As [`KnownSecrets::mask`], for the head of a body that need not be UTF-8.
    pub(crate) fn mask_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let text = String::from_utf8_lossy(bytes);
        match self.mask(&text) {
            Cow::Owned(masked) => Cow::Owned(masked.into_bytes()),
            Cow::Borrowed(_) => Cow::Borrowed(bytes),
        }
    }
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A text from outside as a message may quote it: one line of at most [`EXCERPT_CHARS`] characters, in which
/// credentials in URLs, URL queries, `Bearer`/`Basic` values and long opaque runs are masked.
pub fn excerpt(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if length > EXCERPT_CHARS {
            break;
        }
        let safe = safe_word(words.last().map(String::as_str), word);
        length += safe.chars().count() + 1;
        words.push(safe);
    }
    cut(&words.join(" "), EXCERPT_CHARS)
}

/// The first `limit` characters; the last is an ellipsis when something was dropped.
fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

fn safe_word(previous: Option<&str>, word: &str) -> String {
    let after = |scheme: &str| previous.is_some_and(|p| p.to_ascii_lowercase().ends_with(scheme));
    let odd = word.contains('=') || word.bytes().any(|b| b.is_ascii_digit());
    if after("bearer") || (after("basic") && word.len() >= 8 && odd) {
        return REDACTED.to_owned();
    }
    mask_opaque_runs(&bare_url(word))
}

/// Removes the user part of a URL in a word, and its query, also when the word is only a path.
fn bare_url(word: &str) -> Cow<'_, str> {
    let query = word.find('?').filter(|at| word[*at..].contains('=') || word[..*at].contains("://"));
    let word = &word[..query.unwrap_or(word.len())];
    let Some((scheme, rest)) = word.split_once("://") else { return Cow::Borrowed(word) };
    let authority = rest.find(['/', '#']).unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
    Cow::Owned(format!("{scheme}://{}", &rest[host..]))
}

fn mask_opaque_runs(word: &str) -> String {
    let in_run = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=');
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let run = rest.find(|c| !in_run(c)).unwrap_or(rest.len());
        out.push_str(if looks_opaque(&rest[..run]) { REDACTED } else { &rest[..run] });
        let gap = rest[run..].find(in_run).map_or(rest.len(), |at| run + at);
        out.push_str(&rest[run..gap]);
        rest = &rest[gap..];
    }
    out
}

fn looks_opaque(run: &str) -> bool {
    run.len() >= OPAQUE_RUN && run.bytes().any(|b| b.is_ascii_digit()) && run.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_masks_what_looks_like_a_credential_and_keeps_the_rest() {
        let table = [
            (
                "The value 'X' does not exist\n for the field 'project'.",
                "The value 'X' does not exist for the field 'project'.",
            ),
            ("bad token xoxo0123456789abcdefghijklmnopqrstuv!", "bad token [redacted]!"),
            ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
            ("Authorization: Basic dXNlcjpwYXNz1=", "Authorization: Basic [redacted]"),
            ("basic information", "basic information"),
            ("at https://u:p@host/a/b?token=1", "at https://host/a/b"),
            ("at https://host?u=a@b", "at https://host"),
            ("GET /a?token=1 failed, why?", "GET /a failed, why?"),
            ("node 6f9619ff-8b86-d011-b42d-00cf4fc964ff", "node 6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
            ("com.example.plugin.boards:gh-sprint-2", "com.example.plugin.boards:gh-sprint-2"),
        ];
        for (text, want) in table {
            assert_eq!(excerpt(text), want);
        }
    }

    #[test]
    fn excerpt_is_bounded_in_characters() {
        assert_eq!(excerpt(&"é".repeat(10_000)).chars().count(), EXCERPT_CHARS);
        assert_eq!(excerpt(&"ab ".repeat(10_000)).chars().count(), EXCERPT_CHARS);
    }

    #[test]
    fn known_secrets_are_masked_even_in_short_texts() {
        let known = KnownSecrets::new(["hunter2".to_owned(), "x".to_owned()]);
        assert_eq!(known.mask("you sent hunter2, x"), "you sent [redacted], x");
        assert_eq!(
            KnownSecrets::new([r#"hun"ter"#.to_owned()]).mask(r#"{"message":"hun\"ter"}"#),
            r#"{"message":"[redacted]"}"#
        );
        assert_eq!(known.mask_bytes(b"\xffhunter2").as_ref(), "\u{fffd}[redacted]".as_bytes());
        assert!(matches!(known.mask_bytes(b"plain"), Cow::Borrowed(b"plain")));
    }
}
