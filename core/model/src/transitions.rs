//! Status transitions: what a change of the workflow status means. A status named blocked starts and ends an
//! impediment, a finished status is a completion or cancellation, leaving it is a reopening. Pure.
//!
//! Events of one millisecond count together: their transition follows the event that decides the status after all of
//! them. Impediments with events of their own (a flag, a label, an open blocker) are not transitions.

use crate::inference;
use crate::timeline;
use crate::{Change, Facts, SmolStr, Status, StoredEvent};

/// What a change of the workflow status means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusTransition {
    /// The task was created with an impediment: its reason.
    Flagged(SmolStr),
    /// The task left a status that blocks: the tool's name of it.
    Unblocked(SmolStr),
    /// The task entered a done status.
    Completed,
    /// The task entered a cancelled status.
    Cancelled,
    /// The task left a finished status.
    Reopened,
    /// The task entered a status that blocks: the tool's name of it.
    Blocked(SmolStr),
}

/// Finds the status transitions during the fold of a timeline.
#[derive(Debug, Default)]
pub struct StatusTracker {
    /// The workflow status so far and the tool's name of it; `None` before the creation.
    status: Option<(Status, SmolStr)>,
}

impl StatusTracker {
    /// The transitions, in order, that follow the event at `place` in the timeline, given the facts after it.
    pub fn transitions(
        &mut self,
        timeline: &[StoredEvent],
        place: usize,
        after: &Facts,
    ) -> impl Iterator<Item = StatusTransition> {
        decides(&timeline[place..]).then(|| self.transition(after)).into_iter().flatten().flatten()
    }

    fn transition(&mut self, after: &Facts) -> [Option<StatusTransition>; 3] {
        let before = self.status.replace((after.status, after.native_status.clone()));
        let (was, is) = (before.as_ref().map(|(status, _)| *status), after.status);
        if was == Some(is) {
            return [None, None, None];
        }
        let ended = match before {
            Some((was, native)) => (was == Status::Blocked).then_some(StatusTransition::Unblocked(native)),
            None => (after.flag.is_some() && !is.is_finished())
                .then(|| StatusTransition::Flagged(timeline::reason(after).into())),
        };
        let finish = match is {
            Status::Done => Some(StatusTransition::Completed),
            Status::Cancelled => Some(StatusTransition::Cancelled),
            _ => was.filter(|was| was.is_finished()).map(|_| StatusTransition::Reopened),
        };
        let begun = (is == Status::Blocked).then(|| StatusTransition::Blocked(after.native_status.clone()));
        [ended, finish, begun]
    }
}

/// Whether the first of these events decides the workflow status after all events of its millisecond.
fn decides(timeline: &[StoredEvent]) -> bool {
    let Some((first, rest)) = timeline.split_first() else { return false };
    moves(first) && !rest.iter().take_while(|stored| stored.event.at == first.event.at).any(moves)
}

/// Whether an event can change the workflow status.
fn moves(stored: &StoredEvent) -> bool {
    match &stored.event.change {
        Change::Created(_) | Change::Status { .. } => true,
        Change::StatusArtifact(artifact) => inference::moves(&artifact.kind),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::artifact;
    use crate::samples::{facts, stored, to};

    /// The transitions of a task that was in a status (`None`: did not exist) and has these facts after.
    fn after(before: Option<Status>, after: &Facts) -> Vec<StatusTransition> {
        let mut tracker = StatusTracker { status: before.map(|status| (status, "On Hold".into())) };
        tracker.transition(after).into_iter().flatten().collect()
    }

    fn flagged(status: Status) -> Facts {
        Facts { flag: Some("vendor".into()), ..facts(status) }
    }

    #[test]
    fn a_status_that_blocks_starts_and_ends_an_impediment() {
        let (held, on_hold) = (facts(Status::Blocked), || "On Hold".into());
        let blocked = || StatusTransition::Blocked("blocked".into());
        assert_eq!(after(Some(Status::Todo), &held), [blocked()]);
        assert_eq!(after(None, &held), [blocked()]);
        assert_eq!(after(Some(Status::Blocked), &facts(Status::Todo)), [StatusTransition::Unblocked(on_hold())]);
        assert_eq!(after(Some(Status::Blocked), &held), [], "another status of the same kind");
        let finished = after(Some(Status::Blocked), &facts(Status::Done));
        assert_eq!(finished, [StatusTransition::Unblocked(on_hold()), StatusTransition::Completed]);
        assert_eq!(after(Some(Status::Done), &held), [StatusTransition::Reopened, blocked()]);
    }

    #[test]
    fn a_flag_is_no_transition_unless_the_task_was_created_with_it() {
        let came = || StatusTransition::Flagged("vendor".into());
        assert_eq!(after(None, &flagged(Status::Todo)), [came()]);
        assert_eq!(after(None, &flagged(Status::Blocked)), [came(), StatusTransition::Blocked("blocked".into())]);
        assert_eq!(
            after(None, &flagged(Status::Done)),
            [StatusTransition::Completed],
            "what is finished is not blocked"
        );
        assert_eq!(after(Some(Status::Todo), &flagged(Status::InProgress)), []);
        assert_eq!(after(Some(Status::Todo), &flagged(Status::Blocked)), [StatusTransition::Blocked("blocked".into())]);
    }

    #[test]
    fn finishing_and_reopening_happen_once() {
        assert_eq!(after(Some(Status::Todo), &facts(Status::Done)), [StatusTransition::Completed]);
        assert_eq!(after(Some(Status::Done), &facts(Status::Done)), []);
        assert_eq!(after(Some(Status::Cancelled), &facts(Status::Done)), [StatusTransition::Completed]);
        assert_eq!(after(Some(Status::Done), &facts(Status::Cancelled)), [StatusTransition::Cancelled]);
        assert_eq!(after(Some(Status::Cancelled), &facts(Status::Todo)), [StatusTransition::Reopened]);
        assert_eq!(after(None, &facts(Status::Todo)), []);
    }

    #[test]
    fn the_last_event_of_a_millisecond_that_can_move_the_status_decides() {
        let evidence = |kind| stored(5, Change::StatusArtifact(artifact(kind, "a1")));
        let deciding = |timeline: &[StoredEvent]| -> Vec<bool> {
            (0..timeline.len()).map(|place| decides(&timeline[place..])).collect()
        };
        let stored_events = [
            stored(5, to(Status::Done)),
            stored(5, to(Status::Todo)),
            stored(5, Change::Unblocked),
            stored(6, to(Status::Done)),
        ];
        assert_eq!(deciding(&stored_events), [false, true, false, true]);
        assert_eq!(deciding(&[stored(5, to(Status::Done)), evidence(inference::CI_PASSED)]), [true, false]);
        assert_eq!(deciding(&[stored(5, Change::Unblocked), evidence(inference::MERGED)]), [false, true]);
    }
}
