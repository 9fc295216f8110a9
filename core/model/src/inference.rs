//! What people do moves the status: from a commit, a review, a merge or a build to an ordinary change of status. Pure.
//!
//! Nothing derived is stored. A task whose source says `derive_status` holds its artifacts as [`Change::StatusArtifact`], and the
//! fold of its timeline asks [`step`] what each of them comes to *there*: so facts may arrive in any order and give the same
//! history, and the tool's own status wins when it is newer, simply because it is folded later.

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

/// As much of a commit hash as people read.
const SHORT_HASH: usize = 8;

/// What artifacts said so far that matters for the next ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InferenceState {
    /// The newest commit.
    head: Option<Arc<str>>,
    /// The impediment that lies over the task was raised by a failed build: of this commit.
    failed: Option<Arc<str>>,
}

impl InferenceState {
    /// Remembers an artifact and what it came to.
    pub fn record(&mut self, artifact: &Artifact, step: Option<&Change>) {
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

    /// The impediment is the tool's own from now on, or gone. Says whether it was ours.
    pub fn clear_failed_build(&mut self) -> bool {
        self.failed.take().is_some()
    }

    /// Whether a build is of the newest commit, as far as commits are known.
    fn is_head(&self, reference: &str) -> bool {
        self.head.as_deref().is_none_or(|head| head == reference)
    }
}

/// The ordinary fact that an artifact comes to, given the task before it; `None` when it moves nothing.
///
/// It only ever moves forwards: a commit on a task in review or finished changes nothing, until the tool reopens it.
pub fn step(facts: &Facts, inference_state: &InferenceState, artifact: &Artifact) -> Option<Change> {
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
        _ => None,
    }
}

/// Whether an artifact of this kind can change the workflow status.
pub fn moves(kind: &str) -> bool {
    matches!(kind, COMMIT | REVIEW_REQUESTED | MERGED)
}

/// How far a status is. One *named* blocked is a word of the tool that only a merge overrules.
const fn progress(status: Status) -> u8 {
    match status {
        Status::Backlog | Status::Todo => 0,
        Status::InProgress => 1,
        Status::InReview | Status::Blocked => 2,
        Status::Done | Status::Cancelled => 3,
    }
}

/// What happened, as people say it: `merged acme/checkout#12`. It stands where the tool's word for a status stands.
pub fn label(artifact: &Artifact) -> String {
    format!("{} {}", artifact.kind.replace('_', " "), short(&artifact.reference))
}

/// Why a failed build blocks: `ci failed 6dcb09b5: test`.
fn reason(artifact: &Artifact) -> String {
    let label = label(artifact);
    if artifact.summary.is_empty() { label } else { format!("{label}: {}", artifact.summary) }
}

/// A hash as people write it; anything else as it is.
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
    use crate::timeline::{self, Life};

    fn evidence(at: i64, kind: &str, reference: &str) -> StoredEvent {
        stored(at, Change::StatusArtifact(artifact(kind, reference)))
    }

    /// The effective statuses of a life, with when each began.
    fn tracker(later: Vec<StoredEvent>) -> Vec<(i64, Status)> {
        let mut life = vec![stored(0, Change::Created(Box::new(facts(Status::Todo))))];
        life.extend(later);
        Life::new(&life).unwrap().phases().iter().map(|phase| (phase.from.0, phase.status)).collect()
    }

    #[test]
    fn work_moves_a_task_from_commit_to_merge() {
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
    fn the_tools_own_status_wins_when_it_is_newer_and_reopening_lets_work_move_it_again() {
        let tracker = tracker(vec![
            evidence(10, MERGED, "acme/checkout#12"),
            stored(20, to(Status::Todo)),
            evidence(30, COMMIT, "b2"),
        ]);
        let expected = [(0, Status::Todo), (10, Status::Done), (20, Status::Todo), (30, Status::InProgress)];
        assert_eq!(tracker, expected);
    }

    #[test]
    fn a_failed_build_of_the_newest_commit_blocks_until_one_passes() {
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
    fn a_build_neither_replaces_nor_lifts_an_impediment_of_the_tool() {
        let later = vec![
            stored(10, Change::Blocked(Some("vendor".into()))),
            evidence(20, CI_FAILED, "a1"),
            evidence(30, CI_PASSED, "a1"),
        ];
        assert_eq!(tracker(later), [(0, Status::Todo), (10, Status::Blocked)]);
    }

    #[test]
    fn what_was_finished_while_its_build_failed_is_not_blocked_when_it_is_reopened() {
        let later =
            vec![evidence(10, CI_FAILED, "a1"), evidence(20, MERGED, "acme/x#1"), stored(30, to(Status::InProgress))];
        let expected = [(0, Status::Todo), (10, Status::Blocked), (20, Status::Done), (30, Status::InProgress)];
        assert_eq!(tracker(later), expected);
    }

    #[test]
    fn every_derived_fact_says_where_it_came_from_and_the_tools_word_is_kept_apart() {
        let life = vec![
            stored(0, Change::Created(Box::new(facts(Status::Todo)))),
            evidence(10, COMMIT, "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
            evidence(20, CI_FAILED, "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
        ];
        let now = timeline::last(&life).unwrap().facts;
        assert_eq!(
            (now.native_status.as_str(), now.flag.as_deref()),
            ("commit 6dcb09b5", Some("ci failed 6dcb09b5: build"))
        );
        let reported = timeline::reported(&life).unwrap().facts;
        assert_eq!(
            (reported.status, reported.native_status.as_str(), reported.flag.as_deref()),
            (Status::Todo, "todo", None)
        );
    }

    #[test]
    fn nothing_moves_a_task_that_vanished_or_whose_source_does_not_derive() {
        let life = |change: Change| {
            vec![
                stored(0, Change::Created(Box::new(facts(Status::Todo)))),
                stored(5, Change::Deleted),
                stored(10, change),
            ]
        };
        let gone = timeline::last(&life(Change::StatusArtifact(artifact(MERGED, "acme/x#1")))).unwrap();
        assert_eq!((gone.facts.status, gone.deleted), (Status::Todo, Some(Millis(5))));
        let mut plain = life(Change::Artifact(artifact(MERGED, "acme/x#1")));
        plain.remove(1);
        assert_eq!(timeline::last(&plain).unwrap().facts.status, Status::Todo);
    }
}
