//! Derived status: a commit, a review, a merge or a CI run becomes an ordinary change of status. Pure.
//!
//! Nothing derived is stored. A task whose source sets `derive_status` holds its artifacts as
//! [`Change::StatusArtifact`], and the fold of its timeline calls [`step`] for each of them in its place. So events may
//! arrive in any order and give the same history, and the tool's own status wins where it is newer, because it is
//! folded later.

use std::sync::Arc;

use crate::{Artifact, Change, Facts, Status};

/// A commit that names the task.
pub const COMMIT: &str = "commit";
/// Somebody was asked to review.
pub const REVIEW_REQUESTED: &str = "review_requested";
/// A pull request was merged.
pub const MERGED: &str = "merged";
/// Checks of a commit failed.
pub const CI_FAILED: &str = "ci_failed";
/// Checks of a commit passed.
pub const CI_PASSED: &str = "ci_passed";

/// An agent or a program reported work on the task, which another source holds; the reference is what it reported.
pub const REPORTED: &str = "reported";

/// The number of characters of a commit hash that people read.
const SHORT_HASH: usize = 8;

/// What later artifacts need to know of the earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InferenceState {
    /// The newest commit.
    head: Option<Arc<str>>,
    /// The commit whose failed checks raised the present impediment.
    failed: Option<Arc<str>>,
}

impl InferenceState {
    /// Records an artifact and the change it made.
    pub(crate) fn record(&mut self, artifact: &Artifact, step: Option<&Change>) {
        if artifact.kind == COMMIT {
            self.head = Some(artifact.reference.as_str().into());
        }
        let failed_again = self.failed.is_some() && artifact.kind == CI_FAILED && self.is_head(&artifact.reference);
        match step {
            Some(Change::Blocked(_)) => self.failed = Some(artifact.reference.as_str().into()),
            Some(Change::Unblocked) => self.failed = None,
            _ if failed_again => self.failed = Some(artifact.reference.as_str().into()),
            _ => {}
        }
    }

    /// Forgets the failed checks: the tool set the impediment itself, or it is gone. Returns whether there were any.
    pub(crate) fn clear_failed_build(&mut self) -> bool {
        self.failed.take().is_some()
    }

    /// Whether an artifact belongs to the newest commit, as far as commits are known.
    fn is_head(&self, reference: &str) -> bool {
        self.head.as_deref().is_none_or(|head| head == reference)
    }
}

/// The ordinary change that an artifact makes to a task with these facts; `None` when it changes nothing.
///
/// It only moves forwards: a commit on a task in review or finished changes nothing until the tool reopens the task.
pub(crate) fn step(facts: &Facts, inference_state: &InferenceState, artifact: &Artifact) -> Option<Change> {
    let to = |status: Status| Change::Status { status, native: label(artifact).into() };
    let reached = progress(facts.status);
    match artifact.kind.as_str() {
        COMMIT => (reached < progress(Status::InProgress)).then(|| to(Status::InProgress)),
        REVIEW_REQUESTED => (reached < progress(Status::InReview)).then(|| to(Status::InReview)),
        MERGED => (reached < progress(Status::Done)).then(|| to(Status::Done)),
        CI_FAILED => {
            let free = facts.flag.is_none() && !facts.status.is_finished();
            (free && inference_state.is_head(&artifact.reference))
                .then(|| Change::Blocked(Some(reason(artifact).into())))
        }
        CI_PASSED => {
            let failed = inference_state.failed.as_deref();
            let mends = failed == Some(artifact.reference.as_str()) || inference_state.is_head(&artifact.reference);
            (failed.is_some() && mends).then_some(Change::Unblocked)
        }
        REPORTED => {
            let status = artifact.reference.parse().ok().filter(|status| *status != Status::Blocked)?;
            (reached < progress(status)).then(|| to(status))
        }
        _ => None,
    }
}

/// Whether an artifact of this kind can change the workflow status.
pub(crate) fn moves(kind: &str) -> bool {
    matches!(kind, COMMIT | REVIEW_REQUESTED | MERGED | REPORTED)
}

/// How far along a status is. Only a merge overrules a status that the tool *names* blocked.
const fn progress(status: Status) -> u8 {
    match status {
        Status::Backlog | Status::Todo => 0,
        Status::InProgress => 1,
        Status::InReview | Status::Blocked => 2,
        Status::Done | Status::Cancelled => 3,
    }
}

/// An artifact as people read it: `merged acme/checkout#12`. Used in place of the tool's status name.
pub fn label(artifact: &Artifact) -> String {
    format!("{} {}", artifact.kind.replace('_', " "), short(&artifact.reference))
}

/// Why failed checks block: `ci failed 6dcb09b5: test`.
fn reason(artifact: &Artifact) -> String {
    let label = label(artifact);
    if artifact.summary.is_empty() { label } else { format!("{label}: {}", artifact.summary) }
}

/// A commit hash in its short form; anything else as it is.
fn short(reference: &str) -> &str {
    let is_hash = reference.len() >= 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &reference[..SHORT_HASH] } else { reference }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredEvent;
    use crate::samples::{artifact, facts, stored, to};
    use crate::time::Millis;
    use crate::timeline::{self, TaskHistory};

    fn evidence(at: i64, kind: &str, reference: &str) -> StoredEvent {
        stored(at, Change::StatusArtifact(artifact(kind, reference)))
    }

    /// The effective statuses of a task, with the start of each.
    fn tracker(later: Vec<StoredEvent>) -> Vec<(i64, Status)> {
        let mut timeline = vec![stored(0, Change::Created(Box::new(facts(Status::Todo))))];
        timeline.extend(later);
        TaskHistory::new(&timeline).unwrap().phases().iter().map(|phase| (phase.from.0, phase.status)).collect()
    }

    #[test]
    fn commits_reviews_and_merges_move_a_task_forwards() {
        let tracker = tracker(vec![
            evidence(10, COMMIT, "a1"),
            evidence(20, REVIEW_REQUESTED, "acme/checkout#12"),
            evidence(30, COMMIT, "b2"),
            evidence(40, MERGED, "acme/checkout#12"),
            evidence(50, COMMIT, "c3"),
        ]);
        let expected = [(0, Status::Todo), (10, Status::InProgress), (20, Status::InReview), (40, Status::Done)];
        assert_eq!(tracker, expected);
    }

    #[test]
    fn a_newer_status_of_the_tool_wins_and_reopening_allows_progress_again() {
        let tracker = tracker(vec![
            evidence(10, MERGED, "acme/checkout#12"),
            stored(20, to(Status::Todo)),
            evidence(30, COMMIT, "b2"),
        ]);
        let expected = [(0, Status::Todo), (10, Status::Done), (20, Status::Todo), (30, Status::InProgress)];
        assert_eq!(tracker, expected);
    }

    #[test]
    fn failed_checks_of_the_newest_commit_block_until_checks_pass() {
        let tracker = tracker(vec![
            evidence(10, COMMIT, "a1"),
            evidence(20, COMMIT, "b2"),
            evidence(21, CI_FAILED, "a1"),
            evidence(30, CI_FAILED, "b2"),
            evidence(40, COMMIT, "c3"),
            evidence(50, CI_PASSED, "c3"),
        ]);
        let expected = [(0, Status::Todo), (10, Status::InProgress), (30, Status::Blocked), (50, Status::InProgress)];
        assert_eq!(tracker, expected);
    }

    #[test]
    fn checks_neither_replace_nor_lift_an_impediment_of_the_tool() {
        let later = vec![
            stored(10, Change::Blocked(Some("vendor".into()))),
            evidence(20, CI_FAILED, "a1"),
            evidence(30, CI_PASSED, "a1"),
        ];
        assert_eq!(tracker(later), [(0, Status::Todo), (10, Status::Blocked)]);
    }

    #[test]
    fn a_task_finished_with_failed_checks_is_not_blocked_when_reopened() {
        let later =
            vec![evidence(10, CI_FAILED, "a1"), evidence(20, MERGED, "acme/x#1"), stored(30, to(Status::InProgress))];
        let expected = [(0, Status::Todo), (10, Status::Blocked), (20, Status::Done), (30, Status::InProgress)];
        assert_eq!(tracker(later), expected);
    }

    #[test]
    fn derived_values_name_their_artifact_and_leave_the_tools_values_alone() {
        let timeline = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            evidence(10, COMMIT, "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
            evidence(20, CI_FAILED, "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
        ];
        let now = timeline::last(&timeline).unwrap().facts;
        assert_eq!(
            (now.native_status.as_str(), now.flag.as_deref()),
            ("commit 6dcb09b5", Some("ci failed 6dcb09b5: build"))
        );
        let reported = timeline::reported(&timeline).unwrap().facts;
        assert_eq!(
            (reported.status, reported.native_status.as_str(), reported.flag.as_deref()),
            (Status::Todo, "todo", None)
        );
    }

    #[test]
    fn deleted_tasks_and_sources_that_do_not_derive_are_not_moved() {
        let timeline = |change: Change| {
            vec![
                stored(0, Change::Created(Box::new(facts(Status::Todo)))),
                stored(5, Change::Deleted),
                stored(10, change),
            ]
        };
        let gone = timeline::last(&timeline(Change::StatusArtifact(artifact(MERGED, "acme/x#1")))).unwrap();
        assert_eq!((gone.facts.status, gone.deleted), (Status::Todo, Some(Millis(5))));
        let mut plain = timeline(Change::Artifact(artifact(MERGED, "acme/x#1")));
        plain.remove(1);
        assert_eq!(timeline::last(&plain).unwrap().facts.status, Status::Todo);
    }
}
