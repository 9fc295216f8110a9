//! What Linear's states, labels, priorities and statuses of projects are in the common model: words in, our words out.
//!
//! All pure. States go by their type, refined by name; the type decides, because it is what Linear's own views count by.
//! Linear has no issue types: labels say what kind of work it is, else whether it has a parent or parts of its own.

use contextcore_core::model::{SmolStr, Status, TaskType};

use super::settings::Settings;
use crate::vocabulary::{REVIEW, says};

/// A status, and why it is that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) status: Status,
    /// For people.
    pub(super) why: String,
    /// Whether the type is one that we know.
    pub(super) known: bool,
}

/// The common status of a state: the configuration by id or name, then its type refined by its name.
pub(super) fn state(settings: &Settings, id: &str, name: &str, kind: &str) -> Mapped {
    let mapped = |status, why: String| Mapped { status, why, known: true };
    if let Some(status) = settings.rules.status(&[name, id]) {
        return mapped(status, "configured in statuses".into());
    }
    let plain = match kind {
        "triage" | "backlog" => Status::Backlog,
        "unstarted" => Status::Todo,
        "started" => Status::InProgress,
        "completed" => Status::Done,
        "canceled" | "duplicate" => Status::Cancelled,
        _ => {
            let why = format!("type {kind} is not known, taken for unstarted");
            return Mapped { status: Status::Todo, why, known: false };
        }
    };
    if !plain.is_finished() && settings.rules.means_blocked(name) {
        return mapped(Status::Blocked, "named like blocked".into());
    }
    if plain == Status::InProgress && says(name, REVIEW) {
        return mapped(Status::InReview, format!("type {kind}, by its name"));
    }
    mapped(plain, format!("type {kind}"))
}

/// What is known of an issue when its type is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'a> {
    pub(super) labels: &'a [SmolStr],
    /// It is a part of another issue.
    pub(super) has_parent: bool,
    /// It has parts of its own.
    pub(super) has_parts: bool,
}

/// The common type, and the word that stands for it: the label that says so, or what Linear calls such an issue.
pub(super) fn task_type(settings: &Settings, shape: Shape<'_>) -> (TaskType, SmolStr) {
    let configured = shape.labels.iter().find_map(|label| Some((settings.rules.task_type(label)?, label.clone())));
    let by_name = || {
        let named = |phrases: &[&str]| shape.labels.iter().find(|label| is_named(label, phrases));
        LABELS.iter().find_map(|(task_type, phrases)| Some((*task_type, named(phrases)?.clone())))
    };
    configured.or_else(by_name).unwrap_or_else(|| {
        let (task_type, word) = match (shape.has_parent, shape.has_parts) {
            (true, _) => (TaskType::Subtask, "Sub-issue"),
            (false, true) => (TaskType::Story, "Issue"),
            (false, false) => (TaskType::Task, "Issue"),
        };
        (task_type, word.into())
    })
}

/// Labels that name a kind of work, the most specific first.
const LABELS: [(TaskType, &[&str]); 4] = [
    (TaskType::Bug, &["bug", "defect"]),
    (TaskType::Incident, &["incident", "outage"]),
    (TaskType::Spike, &["spike", "research"]),
    (TaskType::Story, &["story", "user story", "feature"]),
];

/// Whether a label is one of these words: a label that merely holds one (`bug bash`) is about something else.
fn is_named(label: &str, words: &[&str]) -> bool {
    words.iter().any(|word| label.trim().eq_ignore_ascii_case(word))
}

/// The common priority. Linear's numbers are not a scale: 0 is none.
pub(super) fn priority(number: f64) -> Option<SmolStr> {
    const WORDS: [&str; 4] = ["highest", "high", "medium", "low"];
    let word = WORDS.iter().zip(1_u8..).find(|(_, step)| (f64::from(*step) - number).abs() < 0.5);
    word.map(|(word, _)| SmolStr::new_static(word))
}

/// The common status of a project, by the type of its status.
pub(super) fn project(kind: &str) -> Status {
    match kind {
        "planned" => Status::Todo,
        "started" => Status::InProgress,
        "paused" => Status::Blocked,
        "completed" => Status::Done,
        "canceled" => Status::Cancelled,
        _ => Status::Backlog,
    }
}

/// The common status of an initiative.
pub(super) fn initiative(status: &str) -> Status {
    match status {
        "Planned" => Status::Todo,
        "Active" => Status::InProgress,
        "Completed" => Status::Done,
        "Canceled" => Status::Cancelled,
        _ => Status::Backlog,
    }
}

/// What an attachment is among the artifacts, if it is one: by its address, since the names of sources change.
pub(super) fn artifact(url: &str) -> Option<(&'static str, String)> {
    const PLACES: [(&str, &str); 4] = [
        ("/pull/", "pull_request"),
        ("/merge_requests/", "pull_request"),
        ("/pull-requests/", "pull_request"),
        ("/commit/", "commit"),
    ];
    PLACES.iter().find_map(|(place, kind)| {
        let (_, rest) = url.split_once(place)?;
        let reference: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        (!reference.is_empty()).then_some((*kind, reference))
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::{plain, with_words};
    use super::*;

    #[test]
    fn the_type_decides_and_the_name_refines() {
        let table = [
            ("Triage", "triage", Status::Backlog),
            ("Backlog", "backlog", Status::Backlog),
            ("Todo", "unstarted", Status::Todo),
            ("Ready for review", "unstarted", Status::Todo),
            ("In Progress", "started", Status::InProgress),
            ("In Review", "started", Status::InReview),
            ("QA", "started", Status::InReview),
            ("Blocked", "started", Status::Blocked),
            ("On hold", "unstarted", Status::Blocked),
            ("Tested", "completed", Status::Done),
            ("Canceled", "canceled", Status::Cancelled),
            ("Duplicate", "duplicate", Status::Cancelled),
        ];
        for (name, kind, want) in table {
            let mapped = state(&plain(), "s", name, kind);
            assert_eq!((mapped.status, mapped.known), (want, true), "{name}");
        }
        let new = state(&plain(), "s", "Dreaming", "dreaming");
        assert_eq!((new.status, new.known), (Status::Todo, false));
        let configured = with_words(("x", TaskType::Bug), ("todo", Status::Backlog));
        assert_eq!(state(&configured, "s", "Todo", "unstarted").status, Status::Backlog);
    }

    #[test]
    fn labels_say_what_kind_of_work_it_is_before_the_shape_does() {
        let table = [
            (&["ui", "Bug"][..], true, false, TaskType::Bug, "Bug"),
            (&["research"], false, false, TaskType::Spike, "research"),
            (&["Incident", "Feature"], false, false, TaskType::Incident, "Incident"),
            (&["Feature"], true, false, TaskType::Story, "Feature"),
            (&["bug bash"], false, false, TaskType::Task, "Issue"),
            (&[], true, true, TaskType::Subtask, "Sub-issue"),
            (&[], false, true, TaskType::Story, "Issue"),
        ];
        for (labels, has_parent, has_parts, want, word) in table {
            let labels: Vec<SmolStr> = labels.iter().map(SmolStr::new).collect();
            let got = task_type(&plain(), Shape { labels: &labels, has_parent, has_parts });
            assert_eq!(got, (want, word.into()), "{labels:?}");
        }
        let chores = with_words(("chore", TaskType::Task), ("x", Status::Todo));
        let labels = ["Chore".into(), "bug".into()];
        let got = task_type(&chores, Shape { labels: &labels, has_parent: false, has_parts: false });
        assert_eq!(got, (TaskType::Task, "Chore".into()));
    }

    #[test]
    fn none_is_not_the_lowest_priority() {
        let words: Vec<_> = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].into_iter().map(priority).collect();
        let want = [None, Some("highest"), Some("high"), Some("medium"), Some("low"), None];
        assert_eq!(words, want.map(|word| word.map(SmolStr::new)));
    }

    #[test]
    fn attachments_are_artifacts_by_their_address() {
        let table = [
            ("https://github.com/acme/checkout/pull/42", Some(("pull_request", "42"))),
            ("https://gitlab.com/acme/checkout/-/merge_requests/7/diffs", Some(("pull_request", "7"))),
            ("https://github.com/acme/checkout/commit/6dcb09b5b", Some(("commit", "6dcb09b5b"))),
            ("https://acme.slack.com/archives/C1/p2", None),
            ("https://github.com/acme/checkout/pull/", None),
        ];
        for (url, want) in table {
            assert_eq!(artifact(url), want.map(|(kind, reference)| (kind, reference.to_owned())), "{url}");
        }
    }
}
