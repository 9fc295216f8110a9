//! Words of people, as every tool has them in the names of statuses, types and priorities: which of our words they mean.
//!
//! All pure. What decides first (an id, a category, the configuration) is each connector's matter.

/// Phrases of names that mean waiting outside the board.
pub(crate) const BACKLOG: [&str; 1] = ["backlog"];
/// Phrases of names that mean looking at what somebody else has made.
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
/// Phrases of names that mean an impediment, unless the configuration lists its own.
pub(crate) const BLOCKED: [&str; 3] = ["blocked", "on hold", "impeded"];
/// Resolutions (and names of finished statuses) that mean giving up.
const GIVING_UP: [&str; 26] = [
    "won't do",
    "won't fix",
    "wont do",
    "wont fix",
    "will not do",
    "will not fix",
    "won't be done",
    "won't be fixed",
    "duplicate",
    "duplicated",
    "declined",
    "cannot reproduce",
    "can't reproduce",
    "cancelled",
    "canceled",
    "abandoned",
    "rejected",
    "withdrawn",
    "obsolete",
    "invalid",
    "incomplete",
    "not a bug",
    "not a problem",
    "not an issue",
    "works for me",
    "discarded",
];

/// Whether a resolution means that the work was given up.
pub(crate) fn gives_up(resolution: &str) -> bool {
    says(resolution, &GIVING_UP)
}

/// Whether a name holds one of the phrases (lower case, single spaces) as whole words: `Unblocked` is not `blocked`.
pub(crate) fn says(name: &str, phrases: &[&str]) -> bool {
    let padded = padded_words(name);
    // Most phrases differ in their first letter already, and names are asked about for each change of a status.
    let begins = |words: &str, phrase: &str| {
        words.as_bytes().first() == phrase.as_bytes().first()
            && words.strip_prefix(phrase).is_some_and(|rest| rest.starts_with(' '))
    };
    let mut starts = padded.match_indices(' ').map(|(space, _)| &padded[space + 1..]);
    starts.any(|words| phrases.iter().any(|phrase| begins(words, phrase)))
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

/// The common priority: five steps, else the tool's own word in lower case.
pub(crate) fn priority(name: &str) -> Option<String> {
    let name = name.trim().to_lowercase();
    let word = match name.as_str() {
        "" => return None,
        "blocker" | "critical" => "highest",
        "major" => "high",
        "minor" => "low",
        "trivial" => "lowest",
        other => other,
    };
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_that_give_up_are_recognised() {
        for name in ["Won't Do", "WON’T FIX", "Duplicate", "Cannot Reproduce", "Canceled", "Declined by customer"] {
            assert!(gives_up(name), "{name}");
        }
        for name in ["Done", "Fixed", "Resolved", "完成", "", "Uncancelled"] {
            assert!(!gives_up(name), "{name}");
        }
    }

    #[test]
    fn phrases_are_whole_words_whatever_stands_between_them() {
        assert!(says("Code-Review", &REVIEW) && says("ON  HOLD!", &BLOCKED) && says("Won\u{2019}t do", &["won't do"]));
        assert!(!says("Unblocked", &BLOCKED) && !says("Contest", &REVIEW) && !says("", &BACKLOG));
    }

    #[test]
    fn priorities_are_five_steps_or_the_tools_own_word() {
        let table =
            [("Blocker", "highest"), ("Major", "high"), ("Medium", "medium"), ("Trivial", "lowest"), ("P2", "p2")];
        for (name, want) in table {
            assert_eq!(priority(name).as_deref(), Some(want));
        }
        assert_eq!(priority(" "), None);
    }
}
