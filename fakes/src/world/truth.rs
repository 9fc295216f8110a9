//! What is true of a world at a moment, computed from its own events. It follows the definitions of the common model and
//! shares no code with the product, so that a test can compare the two.

use super::{Change, DAY, Fields, Issue, IssueId, Sprint, SprintId, Stage, World};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// Answers about a world as of `at`. Deleted issues are left out, as a tool leaves them out.
#[derive(Clone, Copy)]
pub struct Truth<'w> {
    world: &'w World,
    at: i64,
}

/// A sprint's numbers. Points of an unestimated issue count 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SprintTruth {
    /// In it when it started, at the estimates of that instant.
    pub committed: f64,
    /// Came later, at the estimate on entry.
    pub added: f64,
    /// Left before completion, at the estimate on leaving.
    pub removed: f64,
    /// Net change of members' estimates while they were in it.
    pub reestimated: f64,
    /// In it at the end: committed + added − removed + reestimated.
    pub scope: f64,
    /// In it and done (not cancelled) at its completion, or now.
    pub completed_points: f64,
    /// In it and not finished (neither done nor cancelled) at its completion; 0 while it runs.
    pub carried_over: f64,
    /// In it and not finished, at its completion or now.
    pub remaining: f64,
    pub committed_tasks: usize,
    /// Entries after the start; the same task may enter twice.
    pub added_tasks: usize,
    pub removed_tasks: usize,
    pub completed_tasks: usize,
    pub carried_over_tasks: usize,
}

/// One point of a burndown.
#[derive(Clone, Debug, PartialEq)]
pub struct Burn {
    /// The UTC day that the point closes.
    pub date: Date,
    /// The instant it was taken: 24:00 UTC, or the sprint's completion (or now) for the last.
    pub at: i64,
    pub remaining: f64,
    pub scope: f64,
    pub completed: f64,
}

impl<'w> Truth<'w> {
    pub(super) fn new(world: &'w World, at: i64) -> Self {
        Self { world, at }
    }

    pub(super) fn world(self) -> &'w World {
        self.world
    }

    pub(super) fn at(self) -> i64 {
        self.at
    }

    /// The issues that exist: created by then and never deleted.
    pub fn issues(self) -> impl Iterator<Item = &'w Issue> {
        self.world.issues().filter(move |issue| issue.created <= self.at)
    }

    /// An issue's fields at this moment.
    pub fn fields(self, id: IssueId) -> Fields {
        self.world.issue(id).fields_at(self.at)
    }

    /// The status of an issue in the common model; an impediment overrides the workflow.
    pub fn status(self, id: IssueId) -> Stage {
        let fields = self.fields(id);
        self.stage(&fields)
    }

    /// The number of issues in each status.
    pub fn status_counts(self) -> BTreeMap<Stage, usize> {
        let mut counts = BTreeMap::new();
        for issue in self.issues() {
            *counts.entry(self.status(issue.id)).or_default() += 1;
        }
        counts
    }

    /// Flagged and not finished.
    pub fn blocked(self) -> Vec<IssueId> {
        self.issues().map(|issue| issue.id).filter(|id| self.status(*id) == Stage::Blocked).collect()
    }

    /// Since when an issue has been blocked, if it is.
    pub fn blocked_since(self, id: IssueId) -> Option<i64> {
        self.spans(id).last().filter(|span| span.stage == Stage::Blocked).map(|span| span.from)
    }

    /// How long an issue was blocked while it was not finished, in milliseconds; an open impediment counts up to now.
    pub fn blocked_time(self, id: IssueId) -> i64 {
        self.status_times(id).get(&Stage::Blocked).copied().unwrap_or(0)
    }

    /// When the issue was first worked on.
    pub fn started(self, id: IssueId) -> Option<i64> {
        let working = |stage| matches!(stage, Stage::InProgress | Stage::InReview);
        self.beneath(id).into_iter().find(|span| working(span.stage)).map(|span| span.from)
    }

    /// When it was last done, if it is done now.
    pub fn completed(self, id: IssueId) -> Option<i64> {
        self.beneath(id).last().filter(|span| span.stage == Stage::Done).map(|span| span.from)
    }

    /// When it was last cancelled, if it is cancelled now.
    pub fn cancelled(self, id: IssueId) -> Option<i64> {
        self.beneath(id).last().filter(|span| span.stage == Stage::Cancelled).map(|span| span.from)
    }

    /// Done now, and completed in `from..to`.
    pub fn completed_between(self, from: i64, to: i64) -> Vec<IssueId> {
        let inside = |id: &IssueId| self.completed(*id).is_some_and(|at| (from..to).contains(&at));
        self.issues().map(|issue| issue.id).filter(inside).collect()
    }

    /// How long an issue has stood where, in milliseconds, up to now.
    pub fn status_times(self, id: IssueId) -> BTreeMap<Stage, i64> {
        let mut times = BTreeMap::new();
        for span in self.spans(id) {
            *times.entry(span.stage).or_default() += span.to - span.from;
        }
        times
    }

    /// Open "is blocked by" links: the issues this one waits on.
    pub fn waiting_on(self, id: IssueId) -> Vec<IssueId> {
        let blocks = |link: &&super::Link| link.kind == super::LinkKind::Blocks && !link.outward;
        let mut others: Vec<_> = self.fields(id).links.iter().filter(blocks).map(|link| link.other).collect();
        others.retain(|other| !self.stage_beneath(&self.fields(*other)).is_finished());
        others
    }

    /// Not finished, and either flagged or waiting on something that is not finished: blocked where dependencies count.
    pub fn held_up(self, id: IssueId) -> bool {
        let fields = self.fields(id);
        !self.stage_beneath(&fields).is_finished() && (fields.flagged || !self.waiting_on(id).is_empty())
    }

    /// Everything below an issue, by id.
    pub fn descendants(self, root: IssueId) -> Vec<IssueId> {
        let mut below: BTreeMap<IssueId, Vec<IssueId>> = BTreeMap::new();
        for issue in self.issues() {
            if let Some(parent) = self.fields(issue.id).parent {
                below.entry(parent).or_default().push(issue.id);
            }
        }
        let mut found = vec![];
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            let children = below.remove(&id).unwrap_or_default();
            found.extend(&children);
            open.extend(children);
        }
        found.sort();
        found
    }

    /// The numbers of a sprint: of its whole course when it is closed, up to now otherwise. All 0 before it started.
    pub fn sprint(self, id: SprintId) -> SprintTruth {
        let sprint = self.world.sprint(id);
        let mut sum = SprintTruth::default();
        let Some(start) = sprint.start.filter(|start| *start <= self.at) else { return sum };
        let end = self.end_of(sprint);
        for issue in self.issues() {
            self.follow(issue, id, start, end, &mut sum);
        }
        if self.completion_of(sprint).is_none() {
            (sum.carried_over, sum.carried_over_tasks) = (0.0, 0);
        }
        sum
    }

    /// A sprint day by day: one point for each UTC day from its start, the last at its completion or now.
    pub fn burndown(self, id: SprintId) -> Vec<Burn> {
        let sprint = self.world.sprint(id);
        let Some(start) = sprint.start.filter(|start| *start <= self.at) else { return vec![] };
        let end = self.end_of(sprint);
        let first = (start.div_euclid(DAY) + 1) * DAY;
        let mut moments: Vec<_> = (0..).map(|day| first + day * DAY).take_while(|at| *at < end).collect();
        moments.push(end);
        moments.into_iter().map(|at| self.burn(id, at)).collect()
    }

    fn burn(self, id: SprintId, at: i64) -> Burn {
        // 24:00 is the end of a day, not the start of the next.
        let date = date_of(at - 1);
        let mut burn = Burn { date, at, remaining: 0.0, scope: 0.0, completed: 0.0 };
        for issue in self.issues().filter(|issue| issue.created <= at) {
            let fields = issue.fields_at(at);
            if fields.sprints.contains(&id) {
                let points = points(&fields);
                burn.scope += points;
                match self.stage_beneath(&fields) {
                    Stage::Done => burn.completed += points,
                    Stage::Cancelled => {}
                    _ => burn.remaining += points,
                }
            }
        }
        burn
    }

    /// Adds what one issue did in a sprint: commitment at the start, then event by event to the end.
    fn follow(self, issue: &Issue, id: SprintId, start: i64, end: i64, sum: &mut SprintTruth) {
        if issue.created > end {
            return;
        }
        let mut fields = issue.fields_at(start.max(issue.created - 1));
        let mut inside = fields.sprints.contains(&id);
        let late = issue.created > start;
        if inside {
            let (points, tasks) = if late {
                (&mut sum.added, &mut sum.added_tasks)
            } else {
                (&mut sum.committed, &mut sum.committed_tasks)
            };
            *points += self::points(&fields);
            *tasks += 1;
        }
        for event in issue.events().iter().filter(|event| event.at > start && event.at <= end) {
            let before = points(&fields);
            fields = apply(fields, &event.change);
            // Who comes or goes at the very end is of another sprint.
            let now_inside = if event.at < end { fields.sprints.contains(&id) } else { inside };
            match (inside, now_inside) {
                (false, true) => (sum.added, sum.added_tasks) = (sum.added + before, sum.added_tasks + 1),
                (true, false) => (sum.removed, sum.removed_tasks) = (sum.removed + before, sum.removed_tasks + 1),
                (true, true) => sum.reestimated += points(&fields) - before,
                (false, false) => {}
            }
            inside = now_inside;
        }
        if inside {
            self.close(&fields, sum);
        }
    }

    /// Adds a member as it stood at the end.
    fn close(self, fields: &Fields, sum: &mut SprintTruth) {
        let points = points(fields);
        sum.scope += points;
        match self.stage_beneath(fields) {
            Stage::Done => {
                sum.completed_points += points;
                sum.completed_tasks += 1;
            }
            Stage::Cancelled => {}
            _ => {
                sum.remaining += points;
                sum.carried_over += points;
                sum.carried_over_tasks += 1;
            }
        }
    }

    fn completion_of(self, sprint: &Sprint) -> Option<i64> {
        sprint.completed.filter(|completed| *completed <= self.at)
    }

    fn end_of(self, sprint: &Sprint) -> i64 {
        self.completion_of(sprint).unwrap_or(self.at)
    }

    fn stage_beneath(self, fields: &Fields) -> Stage {
        let stage = self.world.status(fields.status).stage;
        let given_up = fields.resolution.is_some_and(|id| self.world.resolutions[usize::from(id.0)].cancels);
        if stage == Stage::Done && given_up { Stage::Cancelled } else { stage }
    }

    fn stage(self, fields: &Fields) -> Stage {
        let beneath = self.stage_beneath(fields);
        if fields.flagged && !beneath.is_finished() { Stage::Blocked } else { beneath }
    }

    /// The time line of an issue's status, impediments included.
    fn spans(self, id: IssueId) -> Vec<Span> {
        self.course(id, |fields| self.stage(fields), |_| false)
    }

    /// The time line of the workflow alone. Re-entering a status of the same kind starts a new span only from a finished
    /// one, so that "last entry into done" is exact.
    fn beneath(self, id: IssueId) -> Vec<Span> {
        self.course(id, |fields| self.stage_beneath(fields), |change| matches!(change, Change::Status(_)))
    }

    fn course(self, id: IssueId, stage: impl Fn(&Fields) -> Stage, splits: impl Fn(&Change) -> bool) -> Vec<Span> {
        let issue = self.world.issue(id);
        let mut fields = issue.initial();
        let mut spans = vec![Span { stage: stage(&fields), from: issue.created, to: self.at }];
        for entry in issue.entries().take_while(|entry| entry[0].at <= self.at) {
            let split = entry.iter().any(|event| splits(&event.change));
            fields = entry.iter().fold(fields, |fields, event| apply(fields, &event.change));
            let (at, now) = (entry[0].at, stage(&fields));
            if let Some(last) = spans.last_mut().filter(|last| last.stage != now || split) {
                last.to = at;
                spans.push(Span { stage: now, from: at, to: self.at });
            }
        }
        spans
    }
}

/// An interval in one stage.
struct Span {
    stage: Stage,
    from: i64,
    to: i64,
}

fn apply(mut fields: Fields, change: &Change) -> Fields {
    change.apply(&mut fields);
    fields
}

fn points(fields: &Fields) -> f64 {
    fields.points.map_or(0.0, f64::from)
}

fn date_of(at: i64) -> Date {
    super::timestamp(at).to_zoned(jiff::tz::TimeZone::UTC).date()
}
