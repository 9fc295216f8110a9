//! One task of which a tool knows, and of which programs report: the tool's is the task, and what was reported is work on it.
//!
//! Either may come first. A report finds the task of the tool; a task that is new in a tool, or has a new key, finds what was
//! reported under that key. Both ways the reports become artifacts of the tool's task, once each, and the task that was made of
//! the reports until then is marked deleted. All of it happens in the transaction that stores what came.

use super::job::Job;
use super::pass::deleted;
use crate::lock;
use crate::model::activity::StoredActivity;
use crate::model::error::Result;
use crate::model::report::{Report, Reported};
use crate::model::timeline::{self, State};
use crate::model::{TaskKey, TaskRecord};
use crate::store::Transaction;
use crate::store::footprint::names_ever;

impl Job<'_> {
    /// The task of another source that has this key in the same project of the portfolio, if there is exactly one.
    pub(super) fn twin(&self, to: &Transaction<'_>, project: &str, id: &str) -> Result<Option<TaskKey>> {
        let ours = self.project_id(self.name(), project);
        let mut twins = self.namesakes(to, self.name(), &ours, id)?;
        Ok(if twins.len() == 1 { twins.pop() } else { None })
    }

    /// What was reported is work on a task of a tool. A task that was made of earlier reports has been that one all the time.
    pub(super) fn hand_over(
        &mut self,
        to: &mut Transaction<'_>,
        key: &TaskKey,
        twin: TaskKey,
        reports: &[Reported<Report>],
    ) -> Result<()> {
        let earlier = to.reported(false, key)?;
        let activities = activities(self.name(), earlier.iter().chain(reports));
        self.work.activities.entry(twin).or_default().extend(activities);
        self.end_copy(to, key)
    }

    /// Gives a task that is new in our source, or has a new key, what programs reported under that key.
    pub(super) fn adopt(
        &mut self,
        to: &mut Transaction<'_>,
        key: &TaskKey,
        known: Option<&TaskRecord>,
        record: &mut TaskRecord,
    ) -> Result<()> {
        let names = names_ever(record);
        let before = known.map(names_ever).unwrap_or_default();
        if names.is_subset(&before) {
            return Ok(());
        }
        let Some(state) = timeline::last(&record.timeline).filter(|state| state.deleted.is_none()) else {
            return Ok(());
        };
        let ours = self.project_id(&key.source, &state.facts.project);
        let mut copies = Vec::new();
        for other in self.namesakes(to, &key.source, &ours, &state.facts.key)? {
            let reports: Vec<Reported<Report>> = to.reported(false, &other)?;
            if reports.is_empty() {
                // Another tool has it as well: whose work it is cannot be said.
                return Ok(());
            }
            copies.push((other, reports));
        }
        for (copy, reports) in copies {
            self.attach(to, key, record, &activities(&copy.source, &reports))?;
            self.end_copy(to, &copy)?;
        }
        Ok(())
    }

    /// Marks the task deleted that was made of reports on a task of a tool.
    fn end_copy(&mut self, to: &mut Transaction<'_>, copy: &TaskKey) -> Result<()> {
        let Some(known) = to.task(copy)? else { return Ok(()) };
        if timeline::last(&known.timeline).is_none_or(|state| state.deleted.is_some()) {
            return Ok(());
        }
        self.report.changes += 1;
        to.put_task(copy, Some(&known), &deleted(copy, &known, to.seq(), self.run.now), true)?;
        if copy.source == self.name() {
            self.mark_linked(copy, Some(&known));
        } else {
            self.other_sources.insert(copy.source.clone());
        }
        Ok(())
    }

    /// The tasks of sources other than one that have this key in this project of the portfolio.
    fn namesakes(&self, to: &Transaction<'_>, except: &str, project: &str, id: &str) -> Result<Vec<TaskKey>> {
        let mut found = Vec::new();
        for key in to.named(&id.to_uppercase())? {
            if key.source == except {
                continue;
            }
            let state = to.task(&key)?.and_then(|record| timeline::last(&record.timeline));
            let is_it = |state: &State| {
                let theirs = || self.project_id(&key.source, &state.facts.project);
                state.deleted.is_none() && state.facts.key == id && theirs() == project
            };
            if state.is_some_and(|state| is_it(&state)) {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// The project of the portfolio that a native project belongs to, or the native project itself.
    fn project_id(&self, source: &str, project: &str) -> String {
        let portfolio = lock(&self.source.portfolio);
        let known = portfolio.iter().find(|known| known.includes(source, project));
        known.map_or(project, |known| &known.id).to_owned()
    }
}

/// What a task of a tool shows of reports that came to a source.
fn activities<'a>(source: &str, reports: impl IntoIterator<Item = &'a Reported<Report>>) -> Vec<StoredActivity> {
    let of = |reported: &Reported<Report>| StoredActivity {
        source: source.to_owned(),
        native_id: format!("op:{}:{}", reported.writer, reported.seq),
        at: reported.at,
        actor: reported.actor.clone(),
        artifact: reported.report.artifact(),
    };
    reports.into_iter().map(of).collect()
}
