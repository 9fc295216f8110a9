//! How far the lists of a repository have been read, and when one is due.

use std::collections::BTreeMap;

use contextcore_core::Millis;
use contextcore_core::model::time::{DAY, MINUTE};
use serde::{Deserialize, Serialize};

use super::super::batch::Sizes;
use super::super::session::MOMENT;
use crate::scan;

/// How far back the first sweep goes: as far as the export's usual history.
pub(super) const PAST: i64 = 400 * DAY;

/// How far before the watermark pull requests are read again.
pub(super) const OVERLAP: i64 = 2 * MINUTE;

/// The same for commits, which are dated when they were made, not when they were pushed.
pub(super) const COMMIT_OVERLAP: i64 = 7 * DAY;

/// The same for deployments, which take their time.
pub(super) const DEPLOYMENT_OVERLAP: i64 = DAY;

/// How far the stream has been read, by repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ActivityCursor {
    pub(super) repositories: BTreeMap<String, RepositoryCursor>,
    pub(super) sizes: Sizes,
}

/// How far one repository has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RepositoryCursor {
    pub(super) pull_requests: ListCursor,
    pub(super) commits: ListCursor,
    pub(super) deployments: ListCursor,
    /// Pull requests whose checks were not done, or had failed.
    pub(super) watched: Vec<Box<str>>,
}

/// How far one list has been read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ListCursor {
    /// What changed before this has been read.
    #[serde(rename = "read")]
    pub(super) watermark: Option<Millis>,
    /// The last activity of the repository that was read for.
    #[serde(rename = "pulse")]
    pub(super) activity: Option<Millis>,
    /// The credential might not see it. It is asked for all the same, since permission may return.
    pub(super) refused: bool,
    /// The last activity of the repository for which it was begun with the newest row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) begun: Option<Millis>,
    #[serde(rename = "going", skip_serializing_if = "Option::is_none")]
    pub(super) sweep: Option<ListSweep>,
}

/// A sweep under way: from the newest row back to `until`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ListSweep {
    pub(super) after: Option<Box<str>>,
    pub(super) until: Millis,
    pub(super) newest: Option<Millis>,
    /// The oldest row that was listed from the newest on.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Millis>,
    /// How the list is read from its other end, behind a row that cannot be passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_end: Option<OtherEnd>,
}

/// The other end of a list, whose rows are listed the oldest first. `stuck` is where it cannot be read on from the newest row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OtherEnd {
    /// Rows that are too old are passed.
    Passing { stuck: Option<Box<str>> },
    /// What is not too old is read.
    Reading { stuck: Option<Box<str>> },
    /// It was read as far as it can be.
    Read,
}

impl ListSweep {
    /// The order in which the list is asked for.
    pub(super) const fn direction(&self) -> &'static str {
        if self.is_from_other_end() { "ASC" } else { "DESC" }
    }

    /// Whether it is read from its other end.
    pub(super) const fn is_from_other_end(&self) -> bool {
        matches!(self.other_end, Some(OtherEnd::Passing { .. } | OtherEnd::Reading { .. }))
    }

    /// Whether rows are passed that are too old.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self.other_end, Some(OtherEnd::Passing { .. }))
    }

    /// Whether the other end was read, and there is nothing more that can be.
    pub(super) const fn is_read_from_both_ends(&self) -> bool {
        matches!(self.other_end, Some(OtherEnd::Read))
    }

    /// Goes on at the other end of the list. Whether that helps: commits come in one order only, and it is done once.
    pub(super) fn turn(&mut self, list: ActivityList) -> bool {
        let turns = self.other_end.is_none() && list != ActivityList::Commits;
        if turns {
            self.other_end = Some(OtherEnd::Passing { stuck: self.after.take() });
        }
        turns
    }

    /// Goes on after a page of rows that were passed, of these times: behind it, or where it began once it holds what is to be read.
    pub(super) fn pass(&mut self, begin: Option<Box<str>>, mut times: impl Iterator<Item = Millis>, has_next: bool) {
        if has_next && times.all(|at| at < self.until) {
            return;
        }
        self.after = begin;
        self.other_end = match self.other_end.take() {
            Some(OtherEnd::Passing { stuck }) => Some(OtherEnd::Reading { stuck }),
            other => other,
        };
    }

    /// Takes in the times of the rows of a page. Whether all rows were listed that are not too old.
    pub(super) fn covers(&mut self, times: impl Iterator<Item = Millis> + Clone) -> bool {
        self.newest = self.newest.max(times.clone().max());
        let Some(oldest) = times.clone().min() else { return false };
        if self.is_from_other_end() {
            return times.max().is_some_and(|newest| self.oldest.is_some_and(|listed| newest > listed));
        }
        self.oldest = Some(self.oldest.map_or(oldest, |listed| listed.min(oldest)));
        oldest < self.until
    }

    /// Whether a row of this time is to be read.
    pub(super) fn wants(&self, at: Option<Millis>) -> bool {
        !self.is_from_other_end() || at.is_none_or(|at| at >= self.until)
    }

    /// Back to where it is stuck from the newest row: the next run tries that again.
    pub(super) fn leave_other_end(&mut self) {
        if let Some(OtherEnd::Passing { stuck } | OtherEnd::Reading { stuck }) = self.other_end.take() {
            self.after = stuck;
        }
        self.other_end = Some(OtherEnd::Read);
    }

    /// A sweep that begins with the newest row, where this one is stuck. What the other end gave stays read.
    pub(super) fn anew(self) -> Self {
        let other_end = self.other_end.filter(|end| *end == OtherEnd::Read);
        Self { until: self.until, other_end, ..Self::default() }
    }
}

/// The lists of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ActivityList {
    PullRequests,
    Commits,
    Deployments,
}

impl ActivityList {
    /// Its word in records.
    pub(super) const fn record(self) -> &'static str {
        match self {
            Self::PullRequests => "pull_request",
            Self::Commits => "commit",
            Self::Deployments => "deployment",
        }
    }

    /// What people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PullRequests => "pull requests",
            Self::Commits => "commits",
            Self::Deployments => "deployments",
        }
    }

    pub(super) const fn overlap(self) -> i64 {
        match self {
            Self::PullRequests => OVERLAP,
            Self::Commits => COMMIT_OVERLAP,
            Self::Deployments => DEPLOYMENT_OVERLAP,
        }
    }
}

impl ListCursor {
    /// Whether something happened since it was last read.
    pub(super) fn is_due(&self, activity: Option<Millis>) -> bool {
        self.sweep.is_some() || (activity.is_some() && activity != self.activity)
    }

    /// The sweep under way, or a new one, which begins with the newest row.
    pub(super) fn begin(&mut self, list: ActivityList, activity: Option<Millis>, now: Millis) -> ListSweep {
        if let Some(sweep) = self.sweep.take() {
            return sweep;
        }
        self.begun = activity;
        let past = now.plus(-PAST);
        let until = self.watermark.map_or(past, |watermark| watermark.plus(-list.overlap()).max(past));
        ListSweep { until, ..ListSweep::default() }
    }

    /// Whether something happened since it was last begun with the newest row.
    pub(super) fn has_news(&self, activity: Option<Millis>) -> bool {
        activity.is_some() && activity != self.begun
    }

    pub(super) fn settle(&mut self, sweep: &ListSweep, activity: Option<Millis>, now: Millis) {
        self.watermark = scan::advance(self.watermark, sweep.newest, now);
        self.activity = activity.filter(|activity| activity.plus(MOMENT) < now);
    }
}
