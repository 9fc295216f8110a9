//! What follows from the timelines that `tasks` prints, by the definitions of the common model and without the product's code.

use std::collections::{BTreeSet, HashMap};

use crate::product::{Event, Sprint, Task};

/// An interval in one status; an impediment overrides the workflow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) status: String,
    pub(crate) from: i64,
    /// `None` while it lasts.
    pub(crate) to: Option<i64>,
}

impl Event {
    /// When, in epoch milliseconds.
    pub(crate) fn when(&self) -> i64 {
        self.at.as_millisecond()
    }
}

impl Task {
    /// Neither finished nor gone.
    pub(crate) fn is_open(&self) -> bool {
        self.deleted.is_none() && !is_finished(&self.status)
    }

    /// The intervals of its life, oldest first. What happened in one millisecond counts together.
    pub(crate) fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::new();
        let (mut status, mut flagged) = (String::new(), false);
        for group in self.timeline.chunk_by(|one, next| one.at == next.at) {
            for entry in group {
                match entry.kind.as_str() {
                    "created" | "status_changed" => status = entry.to.as_str().unwrap_or_default().to_owned(),
                    "blocked" => flagged = true,
                    "unblocked" => flagged = false,
                    _ => {}
                }
            }
            let gone = group.iter().any(|entry| entry.kind == "deleted");
            let now = if flagged && !is_finished(&status) { "blocked" } else { &status };
            if !gone && phases.last().is_some_and(|phase| phase.status == now) {
                continue;
            }
            let at = group[0].when();
            phases.iter_mut().filter(|phase| phase.to.is_none()).for_each(|phase| phase.to = Some(at));
            if !gone {
                phases.push(Phase { status: now.to_owned(), from: at, to: None });
            }
        }
        phases
    }

    /// The intervals that are over.
    pub(crate) fn closed_phases(&self) -> impl Iterator<Item = Phase> {
        self.phases().into_iter().filter(|phase| phase.to.is_some())
    }

    /// Since when it has been in its status.
    pub(crate) fn since(&self) -> i64 {
        self.phases().last().map_or(0, |phase| phase.from)
    }

    /// When its entries of a kind happened.
    pub(crate) fn times(&self, kind: &str) -> impl Iterator<Item = i64> {
        self.timeline.iter().filter(move |entry| entry.kind == kind).map(Event::when)
    }

    /// When it was finished, each time.
    pub(crate) fn finishes(&self) -> impl Iterator<Item = i64> {
        self.timeline.iter().filter(|entry| matches!(entry.kind.as_str(), "completed" | "cancelled")).map(Event::when)
    }

    /// Seconds it was in a status, without the interval that lasts.
    pub(crate) fn over(&self, status: &str) -> f64 {
        let those = self.closed_phases().filter(|phase| phase.status == status);
        those.filter_map(|phase| Some(phase.to? - phase.from)).sum::<i64>() as f64 / 1_000.0
    }

    /// Whether it was said to be blocked by another before it was last finished.
    pub(crate) fn was_blocked_by(&self, key: &str) -> bool {
        let end = self.finishes().last().unwrap_or(i64::MIN);
        let said = |entry: &&Event| entry.kind == "linked" && entry.to.as_str().is_some_and(|text| text.ends_with(key));
        self.timeline.iter().filter(said).any(|entry| entry.when() <= end)
    }

    /// The key of its parent at a moment.
    pub(crate) fn parent_at(&self, at: i64) -> Option<&str> {
        let later = self.timeline.iter().find(|entry| entry.kind == "parent_changed" && entry.when() > at);
        later.map_or(self.parent.as_deref(), |entry| entry.from.as_str())
    }

    /// Every key it ever had.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        let moves = self.timeline.iter().filter(|entry| entry.kind == "moved");
        moves.filter_map(|entry| entry.from.as_str().map(str::to_owned)).chain([self.id.clone()])
    }

    /// Spans of its history that are final: a phase left, a finish, a completion.
    pub(crate) fn finals(&self) -> Finals {
        let (done, cancelled) = (self.times("completed").count(), self.times("cancelled").count());
        Finals { phases: self.closed_phases().count(), tasks: done + cancelled, completions: done }
    }
}

/// How many final spans of each role there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finals {
    pub(crate) phases: usize,
    pub(crate) tasks: usize,
    pub(crate) completions: usize,
}

impl Finals {
    /// Both together.
    pub(crate) fn plus(self, more: Self) -> Self {
        Self {
            phases: self.phases + more.phases,
            tasks: self.tasks + more.tasks,
            completions: self.completions + more.completions,
        }
    }
}

/// Everything `tasks` and `sprints` print of one source.
pub(crate) struct Expected {
    pub(crate) tasks: Vec<Task>,
    pub(crate) sprints: Vec<Sprint>,
    /// The place of each task, by every key it ever had.
    places: HashMap<String, usize>,
}

impl Expected {
    pub(crate) fn new(tasks: Vec<Task>, sprints: Vec<Sprint>) -> Self {
        let places = tasks.iter().enumerate().flat_map(|(place, task)| task.keys().map(move |key| (key, place)));
        Self { places: places.collect(), tasks, sprints }
    }

    /// The task a key belongs or belonged to.
    pub(crate) fn task(&self, key: &str) -> Option<&Task> {
        self.places.get(key).and_then(|place| self.tasks.get(*place))
    }

    /// Tasks that are there.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.deleted.is_none())
    }

    /// Tasks of a project in a status, by key.
    pub(crate) fn in_status(&self, project: &str, status: &str) -> BTreeSet<String> {
        let those = self.alive().filter(|task| task.project_id == project && task.status == status);
        those.map(|task| task.id.clone()).collect()
    }

    /// The key of the root whose history a task belonged to at a moment: the epic above it, else the topmost.
    pub(crate) fn root_at<'t>(&'t self, task: &'t Task, at: i64) -> &'t str {
        let mut root = task;
        while let Some(parent) = root.parent_at(at).filter(|_| root.task_type != "epic") {
            match self.task(parent) {
                Some(parent) => root = parent,
                None => return parent,
            }
        }
        &root.id
    }

    /// Whether neither a task nor anything above it ever got another parent or type: such a task has the one anchor that
    /// `tasks` prints.
    pub(crate) fn has_one_anchor(&self, task: &Task) -> bool {
        let moved = |entry: &Event| matches!(entry.kind.as_str(), "parent_changed" | "type_changed");
        let mut chain = std::iter::successors(Some(task), |task| self.task(task.parent.as_deref()?));
        chain.all(|task| !task.timeline.iter().any(moved))
    }

    /// Everything below a task.
    pub(crate) fn below(&self, root: &str) -> Vec<&Task> {
        let mut found = Vec::new();
        let mut open = vec![root];
        while let Some(parent) = open.pop() {
            let children: Vec<&Task> = self.alive().filter(|task| task.parent.as_deref() == Some(parent)).collect();
            open.extend(children.iter().map(|task| task.id.as_str()));
            found.extend(children);
        }
        found
    }
}

/// Done or cancelled.
pub(crate) fn is_finished(status: &str) -> bool {
    matches!(status, "done" | "cancelled")
}
