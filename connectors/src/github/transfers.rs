//! Issues that were transferred to another repository.
//!
//! A transfer gives an issue another id and another number. Its item in a project stays the same, and that is how it is
//! recognised: the item wraps another issue than before. The task goes on under the id that the issue had first, so its past, its
//! trace and everything that refers to it stay where they are. Wherever GitHub names the issue by the id it has now, [`Transfers`]
//! gives the first one.

use std::collections::BTreeMap;

use contextcore_core::ingest::connector::Page;
use contextcore_core::model::observation::Observation;
use serde::{Deserialize, Serialize};

use super::wire::{Issue, IssueRef, Record};

/// By the id that an issue has now, the one under which its task goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfers(BTreeMap<Box<str>, Box<str>>);

impl Transfers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes the id that an issue has now. Whether that is news.
    pub(super) fn note(&mut self, now: &str, first: &str) -> bool {
        let first = Box::from(self.first(first));
        *now != *first && self.0.insert(now.into(), first).is_none()
    }

    /// The id of the task of this issue.
    pub(super) fn first<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, |first| first)
    }

    /// Adds what is known elsewhere.
    pub(super) fn extend(&mut self, known: &Self) {
        for (now, first) in &known.0 {
            self.0.entry(now.clone()).or_insert_with(|| first.clone());
        }
    }

    fn replace(&self, id: &mut String) {
        if let Some(first) = self.0.get(id.as_str()) {
            first.as_ref().clone_into(id);
        }
    }

    /// Names the tasks of a page by their first ids.
    pub(super) fn rename_page(&self, page: &mut Page) {
        if self.is_empty() {
            return;
        }
        page.records.iter_mut().for_each(|record| self.replace(&mut record.native_id));
        page.unreadable.iter_mut().for_each(|one| self.replace(&mut one.native_id));
        page.seen.iter_mut().for_each(|id| self.replace(id));
    }

    /// Names the task of a record, and those it refers to, by their first ids.
    pub(super) fn rename_record(&self, record: &mut Record) {
        if self.is_empty() {
            return;
        }
        record.events.iter_mut().filter_map(|event| event.parent.as_mut()).for_each(|parent| self.rename(parent));
        if let Some(issue) = record.node.issue_mut() {
            self.rename_issue(issue);
        }
    }

    fn rename_issue(&self, issue: &mut Issue) {
        if let Some(first) = self.0.get(&issue.id) {
            issue.id.clone_from(first);
        }
        let blockers = issue.blocked_by.nodes.iter_mut().flatten();
        let events = issue.timeline_items.nodes.iter_mut().flatten();
        let parents = issue.parent.iter_mut().chain(events.filter_map(|event| event.parent.as_mut()));
        blockers.chain(parents).for_each(|other| self.rename(other));
    }

    fn rename(&self, issue: &mut IssueRef) {
        if let Some(first) = issue.id.as_ref().and_then(|id| self.0.get(id)) {
            issue.id = Some(first.clone());
        }
    }

    /// Names the tasks that activities belong to by their first ids.
    pub(super) fn rename_activities(&self, observations: &mut [Observation]) {
        for observation in observations.iter_mut().filter(|_| !self.is_empty()) {
            if let Observation::Activity(activity) = observation {
                activity.tasks.iter_mut().for_each(|task| self.replace(task));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_that_moves_on_keeps_its_first_id() {
        let mut transfers = Transfers::default();
        assert!(!transfers.note("I_1", "I_1") && transfers.is_empty());
        assert!(transfers.note("I_2", "I_1") && transfers.note("I_3", "I_2"));
        assert!(!transfers.note("I_3", "I_1"), "it is known");
        assert_eq!((transfers.first("I_3"), transfers.first("I_2"), transfers.first("I_9")), ("I_1", "I_1", "I_9"));
        // And back: GitHub gives the old id again, or another one.
        assert!(!transfers.note("I_1", "I_1"));
        assert_eq!(transfers.first("I_1"), "I_1");
    }
}
