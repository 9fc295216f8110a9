//! [`Job`]: one run of one source, and what it gathers on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::Options;
use crate::clock;
use crate::config::{InsightsConfig, ProjectConfig, SourceConfig};
use crate::ingest::connector::{Connector, Run};
use crate::model::activity::StoredActivity;
use crate::model::agents::KnownAgents;
use crate::model::error::Error;
use crate::model::guidance::stored::GuidanceReport;
use crate::model::insight::InsightReport;
use crate::model::observation::Operations;
use crate::model::report::{Report, SprintReport};
use crate::model::{SmolStr, TaskKey};
use crate::progress::Progress;
use crate::store::{Cursor, Store};

/// A source and the connector that reads it.
pub struct Source {
    /// Its configuration.
    pub config: SourceConfig,
    /// The connector.
    pub connector: Box<dyn Connector>,
    /// The portfolio: which native projects of all sources belong together.
    pub portfolio: Mutex<Vec<ProjectConfig>>,
    /// How many insights are kept, and for how long.
    pub insights: Mutex<InsightsConfig>,
}

/// The result of a run of one source.
#[derive(Debug, Default)]
pub struct SourceReport {
    /// The source.
    pub name: String,
    /// Records read.
    pub records: u64,
    /// New events.
    pub changes: u64,
    /// Records that could not be understood.
    pub set_aside: u64,
    /// Records that the tool could not serve.
    pub unreadable: u64,
    /// Events with an impossible time that were moved to the nearest possible one.
    pub repaired: u64,
    /// Something can be exported that could not be before, of this source or of another one.
    pub sealed: bool,
    /// Requests sent, every attempt counted.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why it stopped early, if it did. What was stored until then stays.
    pub error: Option<Error>,
}

/// One run of one source.
pub(super) struct Job<'a> {
    pub(super) store: &'a Store,
    pub(super) source: &'a Source,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a CancellationToken,
    pub(super) dry_run: bool,
    pub(super) run: Run,
    pub(super) report: SourceReport,
    /// Every stream of changes was read to its end.
    pub(super) changes_read: bool,
    pub(super) work: PageWork,
    /// Rows of the complete pass that are no tasks of this source.
    pub(super) out_of_scope: u64,
    /// The complete pass met a row whose id nobody knows.
    pub(super) nameless: bool,
    /// Ids that the tool said nothing of when they were asked for.
    pub(super) not_ours: BTreeSet<String>,
    /// Ids of records that this run has quarantined.
    pub(super) just_quarantined: BTreeSet<String>,
    /// Set when most of a page could not be read, or a list that was there before.
    pub(super) doubtful: Option<Error>,
    /// Other sources whose tasks got new events.
    pub(super) other_sources: BTreeSet<SmolStr>,
    /// There are as many insights as there may be, and none that nobody ever asked for.
    pub(super) is_full_of_use: bool,
    /// Who counts as an agent.
    pub(super) agents: KnownAgents,
    /// Cursors that cover nothing new, by stream. They are stored with the result of the run.
    pub(super) moved: BTreeMap<&'static str, Cursor>,
    /// That the run began is stored.
    pub(super) is_noted: bool,
}

/// What is gathered from the records of a page and done at its end, so that each task is written once.
#[derive(Debug, Default)]
pub(super) struct PageWork {
    /// Activities, by the tasks they belong to.
    pub(super) activities: BTreeMap<TaskKey, Vec<StoredActivity>>,
    /// What was reported of tasks.
    pub(super) reports: BTreeMap<TaskKey, Operations<Report>>,
    /// What was reported of sprints.
    pub(super) sprint_reports: BTreeMap<TaskKey, Operations<SprintReport>>,
    /// What was reported of guidance.
    pub(super) guidance: Vec<GuidanceReport>,
    /// What was reported of insights, by project and id.
    pub(super) insights: BTreeMap<(String, String), Vec<InsightReport>>,
    /// How many insights there is room for, once one was new.
    pub(super) insight_room: Option<u64>,
    /// Tasks on the page that may block others, or be blocked.
    pub(super) linked: BTreeSet<TaskKey>,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        store: &'a Store,
        source: &'a Source,
        options: &Options,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self {
            store,
            source,
            progress,
            cancel,
            dry_run: options.dry_run,
            run: Run { now: options.now.unwrap_or_else(clock::now), full: options.full },
            report: SourceReport { name: source.config.name.clone(), ..SourceReport::default() },
            changes_read: false,
            work: PageWork::default(),
            out_of_scope: 0,
            nameless: false,
            not_ours: BTreeSet::new(),
            just_quarantined: BTreeSet::new(),
            doubtful: None,
            other_sources: BTreeSet::new(),
            is_full_of_use: false,
            agents: KnownAgents::with(&source.config.agents),
            moved: BTreeMap::new(),
            is_noted: false,
        }
    }
}

impl Job<'_> {
    /// The source's name.
    pub(super) fn name(&self) -> &str {
        &self.source.config.name
    }

    /// A task of this source.
    pub(super) fn key(&self, native_id: &str) -> TaskKey {
        TaskKey::new(self.name(), native_id)
    }
}
