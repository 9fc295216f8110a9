//! Words of people, as every tool has them in the names of statuses, types and priorities: which of our words they mean.
//!
//! All pure. What decides first (an id, a category, the configuration) is each connector's matter. Names are in the languages
//! that Jira ships in, since sites and people translate them.

mod phrases;

use std::cell::RefCell;
use std::collections::HashMap;
use std::str::FromStr;

use contextcore_core::model::Status;

pub(crate) use phrases::{BACKLOG, BLOCKED, EPIC_LINK, FLAGGED, REVIEW, SPRINT, STORY_POINTS};
use phrases::{BLOCKED_BY, DOING, DONE, GIVING_UP, TODO};

/// One of our own words, however people write it: `in_progress`, `In Progress` and `in-progress` are one, and so are `subtask` and
/// `Sub-task`.
pub(crate) fn ours<T: FromStr>(name: &str) -> Option<T> {
    let name = name.trim().to_lowercase();
    ["_", ""].into_iter().find_map(|between| name.replace([' ', '-'], between).parse().ok())
}

/// What a status of this name usually is, in any of the languages that trackers are shipped in. The more certain words go first:
/// what is given up or blocked says so, and a review is often one of something that is done.
pub(crate) fn status(name: &str) -> Option<Status> {
    let meanings = [
        (Status::Cancelled, GIVING_UP),
        (Status::Blocked, BLOCKED),
        (Status::Backlog, BACKLOG),
        (Status::InReview, REVIEW),
        (Status::Todo, TODO),
        (Status::Done, DONE),
        (Status::InProgress, DOING),
    ];
    meanings.iter().find(|(_, phrases)| says(name, phrases)).map(|(status, _)| *status)
}

/// Whether the words of a link (in lower case) say that the other one blocks this one.
pub(crate) fn is_blocked_by(words: &str) -> bool {
    BLOCKED_BY.iter().any(|phrase| words.contains(phrase))
}

/// Whether a name is one of these (lower case, single spaces) and nothing more.
pub(crate) fn is(name: &str, phrases: &[&str]) -> bool {
    phrases.contains(&padded_words(name).trim())
}

/// Whether a resolution means that the work was given up.
pub(crate) fn gives_up(resolution: &str) -> bool {
    says(resolution, GIVING_UP)
}

/// Whether a name holds one of the phrases (lower case, single spaces) as whole words: `Unblocked` is not `blocked`.
pub(crate) fn says(name: &str, phrases: &'static [&'static str]) -> bool {
    let known = KNOWN.with_borrow(|known| {
        let answers = known.get(name)?;
        answers.iter().find(|(of, _)| std::ptr::eq(*of, phrases)).map(|(_, said)| *said)
    });
    known.unwrap_or_else(|| {
        let said = holds(name, phrases);
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.entry(name.to_owned()).or_default().push((phrases, said));
        });
        said
    })
}

/// Names that are remembered. Labels are free text, so there may be any number of them.
const MOST_KNOWN: usize = 1_000;

/// Whether a name holds one of these phrases; the phrases are constants, known by their address.
type Answers = Vec<(&'static [&'static str], bool)>;

thread_local! {
    // The same few names come with every change of a status; there are hundreds of phrases.
    static KNOWN: RefCell<HashMap<String, Answers>> = RefCell::default();
}

fn holds(name: &str, phrases: &[&str]) -> bool {
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
        assert!(says("Code-Review", REVIEW) && says("ON  HOLD!", BLOCKED) && says("Won\u{2019}t do", &["won't do"]));
        assert!(!says("Unblocked", BLOCKED) && !says("Contest", REVIEW) && !says("", BACKLOG));
    }

    #[test]
    fn statuses_are_known_in_the_languages_of_the_tools() {
        use Status::{Backlog, Blocked, Cancelled, Done, InProgress, InReview, Todo};
        let table = [
            (Backlog, "Product Backlog|Бэклог|バックログ"),
            (
                Todo,
                "To Do|Bereit|Zu erledigen|À faire|Por hacer|A fazer|Da fare|Te doen|Do zrobienia|К выполнению|할 일|待办|未着手",
            ),
            (Todo, "Att göra|Tehtävä|Yapılacaklar|Hazır|Prêt|準備完了|就绪"),
            (
                InProgress,
                "In Arbeit|En cours|En curso|Em andamento|In corso|W toku|В работе|進行中|진행 중|进行中|Pågår|Käynnissä",
            ),
            (
                InReview,
                "In Prüfung|En revisión|На проверке|В тестировании|W trakcie przeglądu|W trakcie weryfikacji|レビュー中|검토 중|审核中|Code Review",
            ),
            (Blocked, "Blockiert|Bloqué|Заблокировано|保留中|보류|已阻塞|Geblokkeerd"),
            (
                Done,
                "Fertig|Erledigt|Terminé|Finalizada|Concluído|Completato|Gereed|Gotowe|Готово|完了|완료|已完成|Klart|Valmis",
            ),
            (Cancelled, "Abgebrochen|Annulé|Cancelado|Отменено|却下|취소됨|已取消|Wird nicht erledigt|Peruttu"),
        ];
        for (want, names) in table {
            for name in names.split('|') {
                assert_eq!(status(name), Some(want), "{name}");
            }
        }
        assert_eq!((status("Klärung"), status("Xyz"), status("")), (None, None, None));
        assert!(is_blocked_by("wird blockiert von") && !is_blocked_by("blockiert"));
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
