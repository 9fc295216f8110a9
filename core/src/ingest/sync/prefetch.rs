//! Reading ahead: how the work on a page gets by with a few calls of the store, however many records are on it.
//!
//! Here is known what each kind of observation will ask for. An omission would cost calls, never a wrong result: the
//! transaction reads what was not loaded when it is asked for it. A test counts the calls.

use std::collections::BTreeSet;

use super::job::Job;
use super::page::Normalised;
use crate::model::error::Result;
use crate::model::observation::{Activity, Observation, Operations, TaskObservation};
use crate::model::operation;
use crate::model::report::Report;
use crate::model::{Change, SmolStr, TaskKey, TaskRecord, activity, interval};
use crate::store::footprint::names_ever;
use crate::store::own::{DELETED_SPRINTS, DERIVES};
use crate::store::prefetch::Wanted;
use crate::store::{GUIDANCE, Transaction};

impl Job<'_> {
    /// Reads what the records of a page need.
    pub(super) fn load_page(&self, to: &mut Transaction<'_>, records: &[Normalised]) -> Result<()> {
        let observations = || records.iter().filter_map(|(_, observations)| observations.as_ref().ok()).flatten();
        let mut wanted = Wanted::default();
        records.iter().for_each(|(record, _)| wanted.quarantined(self.name(), &record.native_id));
        observations().for_each(|observation| self.want_observed(&mut wanted, observation));
        to.load(wanted)?;
        let (mut wanted, mut moving) = (Wanted::default(), BTreeSet::new());
        for observation in observations() {
            match observation {
                Observation::Task(seen) => self.want_attached(to, &mut wanted, &mut moving, seen)?,
                Observation::Activity(activity) => self.want_named(to, &mut wanted, &mut moving, activity)?,
                Observation::Gone { native_id } => drop(moving.insert(self.key(native_id))),
                Observation::Operations(of) => self.want_reported(to, &mut wanted, &mut moving, of)?,
                Observation::Sprint { .. }
                | Observation::SprintGone { .. }
                | Observation::SprintOperations(_)
                | Observation::Guidance(_)
                | Observation::Insight(_) => {}
            }
        }
        to.load(wanted)?;
        self.load_twins(to, observations())?;
        to.load_lineage(moving)
    }

    /// What an observation itself names.
    fn want_observed(&self, wanted: &mut Wanted, observation: &Observation) {
        match observation {
            Observation::Task(seen) => wanted.task(self.key(&seen.native_id)),
            Observation::Gone { native_id } => wanted.task(self.key(native_id)),
            Observation::Sprint { native_id, .. } | Observation::SprintGone { native_id } => {
                wanted.metadata(DELETED_SPRINTS, self.name());
                wanted.sprint(&self.key(native_id));
            }
            Observation::Operations(of) => {
                let key = self.key(&operation::native_id(&of.project, &of.id));
                wanted.reported(false, &key);
                wanted.named(&of.id.to_uppercase());
                wanted.task(key);
            }
            Observation::Insight(_) => {}
            Observation::SprintOperations(of) => {
                let key = self.key(&operation::native_id(&of.project, &of.id));
                wanted.reported(true, &key);
                wanted.sprint(&key);
            }
            Observation::Guidance(_) => wanted.metadata(GUIDANCE, ""),
            Observation::Activity(activity) => {
                activity.tasks.iter().for_each(|id| wanted.task(self.key(id)));
                for name in activity::names(self.name(), activity) {
                    wanted.named(&name);
                    wanted.pending_activity(&name, self.name(), &activity.native_id);
                }
            }
        }
    }

    /// The activities that were stored under the new names of a task, and the parents whose sums it may change.
    fn want_attached(
        &self,
        to: &Transaction<'_>,
        wanted: &mut Wanted,
        moving: &mut BTreeSet<TaskKey>,
        seen: &TaskObservation,
    ) -> Result<()> {
        let key = self.key(&seen.native_id);
        let known = to.task(&key)?;
        let before = known.as_deref().map(names_ever).unwrap_or_default();
        names_of(seen).difference(&before).for_each(|name| wanted.pending(&name.to_uppercase()));
        names_of(seen).difference(&before).for_each(|name| wanted.named(&name.to_uppercase()));
        if known.is_none() {
            wanted.pending(&activity::name_of_id(&key));
        }
        moving.extend(seen.present.parent.as_ref().map(|parent| self.key(&parent.native_id)));
        moving.insert(key);
        Ok(())
    }

    /// What was reported under the new names of tasks.
    fn load_twins<'a>(
        &self,
        to: &mut Transaction<'_>,
        observations: impl Iterator<Item = &'a Observation>,
    ) -> Result<()> {
        let mut wanted = Wanted::default();
        for observation in observations {
            match observation {
                Observation::Task(seen) => {
                    let known = to.task(&self.key(&seen.native_id))?;
                    let before = known.as_deref().map(names_ever).unwrap_or_default();
                    for name in names_of(seen).difference(&before) {
                        self.want_twins(to, &mut wanted, name)?;
                    }
                }
                Observation::Operations(of) => self.want_twins(to, &mut wanted, &of.id)?,
                _ => {}
            }
        }
        to.load(wanted)
    }

    fn want_twins(&self, to: &Transaction<'_>, wanted: &mut Wanted, name: &str) -> Result<()> {
        for key in to.named(&name.to_uppercase())?.into_iter().filter(|key| key.source != self.name()) {
            wanted.reported(false, &key);
            wanted.task(key);
        }
        Ok(())
    }

    /// The activities that were stored under the name of a task that is new, and the parents whose sums it may change.
    fn want_reported(
        &self,
        to: &Transaction<'_>,
        wanted: &mut Wanted,
        moving: &mut BTreeSet<TaskKey>,
        operations: &Operations<Report>,
    ) -> Result<()> {
        let key = self.key(&operation::native_id(&operations.project, &operations.id));
        if to.task(&key)?.is_none() {
            wanted.pending(&operations.id.to_uppercase());
            wanted.pending(&activity::name_of_id(&key));
        }
        for report in &operations.reports {
            if let Report::Started(fields) | Report::Updated(fields) = &report.report {
                let parent = fields.parent.iter().flatten();
                moving.extend(parent.map(|id| self.key(&operation::native_id(&operations.project, id))));
            }
        }
        moving.insert(key);
        Ok(())
    }

    /// The tasks that an activity names, and the settings of their sources.
    fn want_named(
        &self,
        to: &Transaction<'_>,
        wanted: &mut Wanted,
        moving: &mut BTreeSet<TaskKey>,
        activity: &Activity,
    ) -> Result<()> {
        moving.extend(activity.tasks.iter().map(|id| self.key(id)));
        for name in activity::names(self.name(), activity) {
            for key in to.named(&name)? {
                wanted.metadata(DERIVES, &key.source);
                moving.insert(key);
            }
        }
        Ok(())
    }

    /// Reads some tasks, and what a change of their sums needs.
    pub(super) fn load_tasks(&self, to: &mut Transaction<'_>, keys: &[TaskKey]) -> Result<()> {
        to.load_lineage(keys.iter().cloned().collect())
    }

    /// Reads the tasks that these block.
    pub(super) fn load_dependents(&self, to: &mut Transaction<'_>, linked: &BTreeSet<TaskKey>) -> Result<()> {
        let mut wanted = Wanted::default();
        linked.iter().cloned().for_each(|key| wanted.task(key));
        to.load(wanted)?;
        let mut wanted = Wanted::default();
        for key in linked {
            let Some(record) = to.task(key)? else { continue };
            names_ever(&record).into_iter().for_each(|name| wanted.dependents(&key.source, name));
            wanted.dependents(&key.source, &key.native_id);
        }
        to.load(wanted)
    }

    /// Reads the tasks that block these.
    pub(super) fn load_blockers(&self, to: &mut Transaction<'_>, tasks: &BTreeSet<TaskKey>) -> Result<()> {
        to.load_lineage(tasks.clone())?;
        let (mut wanted, mut names) = (Wanted::default(), BTreeSet::new());
        for key in tasks {
            let Some(record) = to.task(key)? else { continue };
            let ids = record.blockers.iter().filter_map(|blocker| blocker.native_id.as_deref());
            ids.for_each(|id| wanted.task(TaskKey::new(&*key.source, id)));
            names.extend(blocker_names(&record));
        }
        names.iter().for_each(|name| wanted.named(name));
        to.load(wanted)?;
        let mut wanted = Wanted::default();
        for name in &names {
            to.named(name)?.into_iter().for_each(|key| wanted.task(key));
        }
        to.load(wanted)
    }
}

/// Every key that an observation gives its task.
fn names_of(seen: &TaskObservation) -> BTreeSet<&str> {
    let names = seen.history.iter().filter_map(|event| match &event.change {
        Change::Created(facts) => Some(&facts.key),
        Change::Moved { key, .. } => Some(key),
        _ => None,
    });
    names.chain([&seen.present.key]).map(SmolStr::as_str).collect()
}

/// The names (in upper case) by which a task's links mean its blockers.
fn blocker_names(record: &TaskRecord) -> BTreeSet<String> {
    let by_key = record.blockers.iter().filter(|blocker| blocker.native_id.is_none());
    let linked = interval::blocking_links(&record.timeline).map(|(key, ..)| key.to_uppercase());
    by_key.map(|blocker| blocker.key.to_uppercase()).chain(linked).collect()
}
