//! What people did around the work (commits, reviews, CI runs) and which tasks it belongs to. Pure.
//!
//! A connector reports an [`Activity`] with the texts that may name tasks. [`names`] extracts the task names from them,
//! in the form the store's index uses. An activity is stored as a [`StoredActivity`] under each name it mentions, so
//! that a task that appears later, or in another source, picks it up. [`attach`] adds it to the timeline of a task,
//! once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::observation::Activity;
use crate::time::Millis;
use crate::timeline;
use crate::trailers;
use crate::{Artifact, Change, Event, EventId, StoredEvent, TaskKey};

/// The most names one activity may have. A text that lists more tasks than this belongs to none of them.
const MAX_NAMES: usize = 50;
/// The most bytes kept of an artifact's summary.
const MAX_SUMMARY: usize = 200;

/// An activity as the store keeps it: without the texts that named tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredActivity {
    /// The name of the source that reported it.
    pub source: String,
    /// The id of the activity within its source.
    pub native_id: String,
    /// When it happened.
    pub at: Millis,
    /// The person who did it, by display name.
    pub actor: Option<String>,
    /// The commit, review, run or other artifact.
    pub artifact: Artifact,
}

impl StoredActivity {
    /// The stored form of an activity that `source` reported.
    pub fn of(source: &str, activity: &Activity) -> Self {
        let Artifact { kind, reference, url, summary } = &activity.artifact;
        let line = summary.lines().next().unwrap_or_default();
        let summary = line[..line.floor_char_boundary(MAX_SUMMARY)].to_owned();
        Self {
            source: source.to_owned(),
            native_id: activity.native_id.clone(),
            at: activity.at,
            actor: activity.actor.clone(),
            artifact: Artifact { kind: kind.clone(), reference: reference.clone(), url: url.clone(), summary },
        }
    }
}

/// The index name of a task known only by its id. It is lower case, and the keys in the index are upper case, so the
/// two never collide.
pub fn name_of_id(key: &TaskKey) -> String {
    format!("id:{key}")
}

/// Every name by which an activity of `source` mentions tasks: keys in upper case, in texts and in their trailers, and ids
/// as [`name_of_id`] writes them.
pub fn names(source: &str, activity: &Activity) -> BTreeSet<String> {
    let ids = activity.tasks.iter().map(|id| name_of_id(&TaskKey::new(source, id.as_str())));
    let repository = trailers::repository(&activity.artifact.url);
    let named = |text: &String| keys_in(text).into_iter().chain(trailers::tasks(text, repository.as_deref()));
    let keys: BTreeSet<String> = activity.mentions.iter().flat_map(named).collect();
    ids.chain(keys.into_iter().take(MAX_NAMES)).collect()
}

/// The task keys in a text, in upper case: `PROJ-123` as a word of its own (written in upper case, as the trackers
/// themselves require) and `owner/repo#12`.
#[must_use]
pub fn keys_in(text: &str) -> BTreeSet<String> {
    let between = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '#'));
    text.split(between).flat_map(|word| numbered(word).into_iter().chain(dashed(word))).collect()
}

/// `owner/repo#12` in a word, also at the end of a sentence or list.
fn numbered(word: &str) -> Option<String> {
    let (repository, number) = word.trim_end_matches(['.', '-', '/']).split_once('#')?;
    let (owner, name) = repository.rsplit_once('/')?;
    let owner = owner.rsplit('/').next().unwrap_or(owner);
    let valid = !owner.is_empty() && !name.is_empty() && is_number(number);
    valid.then(|| format!("{owner}/{name}#{number}").to_uppercase())
}

/// Every `PROJ-123` in a word such as `feature/PROJ-123-checkout`.
fn dashed(word: &str) -> Vec<String> {
    let parts: Vec<&str> = word.split(['/', '.', '#']).collect();
    parts.iter().flat_map(|part| dashed_in(part)).collect()
}

fn dashed_in(part: &str) -> Vec<String> {
    let pieces: Vec<&str> = part.split('-').collect();
    let pairs = pieces.windows(2).filter_map(|pair| {
        // Branches are also named like `PROJ-123_fix`.
        let number = pair[1].split('_').next().unwrap_or_default();
        (is_project(pair[0]) && is_number(number)).then(|| format!("{}-{number}", pair[0]))
    });
    pairs.collect()
}

fn is_project(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() >= 2
        && bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The change an artifact makes to a task: it moves the status if the task's source derives status, and nothing
/// otherwise.
pub(crate) fn change(artifact: Artifact, derives: bool) -> Change {
    if derives { Change::StatusArtifact(artifact) } else { Change::Artifact(artifact) }
}

/// Result of attaching an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// The task already had it.
    Known,
    /// It was added.
    New,
    /// It was added at another time, because its own lies before the creation or in the future.
    Repaired,
}

/// Adds an activity to a task's timeline, once. The result does not depend on the order in which activities arrive.
pub fn attach(
    key: &TaskKey,
    timeline: &mut Vec<StoredEvent>,
    activity: &StoredActivity,
    derives: bool,
    seq: u64,
    now: Millis,
) -> Attached {
    let id = EventId::of(key, &format!("artifact:{}:{}", activity.source, activity.native_id));
    let Some((_, created)) = timeline::first(timeline) else { return Attached::Known };
    if timeline.iter().any(|stored| stored.event.id == id) {
        return Attached::Known;
    }
    // Clocks of people's machines are wrong, and work may begin before anybody creates a task for it.
    let at = activity.at.max(created).min(now.max(created));
    let change = change(activity.artifact.clone(), derives);
    let event = Event { id, at, actor: activity.actor.clone(), observed: false, change };
    timeline::insert(timeline, StoredEvent { event, seq });
    if at == activity.at { Attached::New } else { Attached::Repaired }
}

/// The last artifact of a kind up to a moment.
pub fn last_of<'a>(timeline: &'a [StoredEvent], kind: &str, upto: Millis) -> Option<&'a Artifact> {
    let past = timeline.iter().rev().filter(|stored| stored.event.at <= upto);
    past.filter_map(|stored| stored.event.change.artifact()).find(|artifact| artifact.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::samples::artifact;
    use crate::samples::{facts, stored};

    fn found(text: &str) -> Vec<String> {
        keys_in(text).into_iter().collect()
    }

    #[test]
    fn keys_are_found_where_people_write_them() {
        for text in [
            "PROJ-12",
            "PROJ-12: checkout",
            "[PROJ-12] checkout",
            "feature/PROJ-12-checkout",
            "PROJ-12_checkout",
            "see (PROJ-12).",
            "https://example.com/browse/PROJ-12",
        ] {
            assert_eq!(found(text), ["PROJ-12"], "{text}");
        }
        assert_eq!(found("PROJ-1, OPS2-33 and A_B-4"), ["A_B-4", "OPS2-33", "PROJ-1"]);
        assert_eq!(found("closes acme/check.out#12."), ["ACME/CHECK.OUT#12"]);
    }

    #[test]
    fn texts_that_only_look_like_keys_are_ignored() {
        for text in
            ["proj-12", "xPROJ-12", "PROJ-12a", "A-1", "PROJ-", "-12", "#12", "12-12", "PROJ-1234567890", "é-1", ""]
        {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn ids_and_keys_are_both_names() {
        let activity = Activity {
            native_id: "commit:a1".into(),
            at: Millis(1),
            actor: None,
            artifact: artifact("commit", "a1"),
            tasks: vec!["I_7".into()],
            mentions: vec!["PROJ-1".into(), "and PROJ-1".into()],
            author: None,
        };
        assert_eq!(names("gh", &activity).into_iter().collect::<Vec<_>>(), ["PROJ-1", "id:gh/I_7"]);
    }

    #[test]
    fn trailers_name_tasks_of_any_host() {
        let mut activity = Activity {
            native_id: "commit:a1".into(),
            at: Millis(1),
            actor: None,
            artifact: Artifact { url: "https://github.com/acme/shop/commit/a1".into(), ..artifact("commit", "a1") },
            tasks: vec![],
            mentions: vec!["feat: pay by card\n\nTask: eng-7\nCloses: #12\nPart-of: SHOP-1\n".into()],
            author: None,
        };
        assert_eq!(names("gh", &activity).into_iter().collect::<Vec<_>>(), ["ACME/SHOP#12", "ENG-7", "SHOP-1"]);
        activity.mentions = vec!["feat: pay by card, see eng-7".into()];
        assert!(names("gh", &activity).is_empty(), "in running text only upper case is a key");
    }

    #[test]
    fn an_activity_is_attached_once_and_at_a_possible_time() {
        let key = TaskKey::new("jira", "1");
        let activity = |id: &str, at| StoredActivity {
            source: "gh".into(),
            native_id: id.into(),
            at: Millis(at),
            actor: Some("Ada".into()),
            artifact: artifact("commit", id),
        };
        let mut timeline = vec![stored(1_000, Change::Created(Box::new(facts(Status::Todo))))];
        let mut attach = |activity: &StoredActivity| attach(&key, &mut timeline, activity, true, 7, Millis(5_000));
        assert_eq!(attach(&activity("a1", 2_000)), Attached::New);
        assert_eq!(attach(&activity("a1", 2_000)), Attached::Known);
        assert_eq!(attach(&activity("early", 10)), Attached::Repaired);
        assert_eq!(attach(&activity("late", 9_000)), Attached::Repaired);
        let times: Vec<_> = timeline.iter().map(|stored| stored.event.at.0).collect();
        assert_eq!(times, [1_000, 1_000, 2_000, 5_000]);
        assert_eq!(last_of(&timeline, "commit", Millis(3_000)).unwrap().reference, "a1");
    }

    #[test]
    fn a_long_summary_is_cut_at_a_character_boundary() {
        let summary = format!("{}\nmore", "é".repeat(300));
        let activity = Activity {
            native_id: "x".into(),
            at: Millis(0),
            actor: None,
            artifact: Artifact { summary, ..artifact("commit", "a1") },
            tasks: vec![],
            mentions: vec![],
            author: None,
        };
        assert_eq!(StoredActivity::of("gh", &activity).artifact.summary, "é".repeat(MAX_SUMMARY / 2));
    }
}
