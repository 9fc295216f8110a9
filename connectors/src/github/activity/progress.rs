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
