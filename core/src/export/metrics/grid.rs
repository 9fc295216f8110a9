//! How far the history of each project was read and exported: read for all projects at once, and stored for many of them at once, in one
//! transaction for each [`Unit`].

use std::collections::BTreeMap;

use crate::export::context::ExportContext;
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::store::prefetch::Wanted;
use crate::store::{Store, Unit};

/// The metadata group that holds how far each project's metrics were exported.
const METADATA_GROUP: &str = "metrics";
/// So many projects wait at most until it is stored that they were exported.
const WAITING: usize = 500;

/// How far each project's sources have been read: the earliest of them. Exporting beyond that would publish a history
/// without the changes that a source has yet to return, and it cannot be corrected.
pub(super) fn read_until(store: &Store, context: &ExportContext<'_>, now: Millis) -> Result<BTreeMap<String, Millis>> {
    let (mut read_until, mut sources) = (BTreeMap::new(), BTreeMap::new());
    for (source, native, _) in store.totals()? {
        if context.config.sources.iter().all(|configured| configured.name != source) {
            continue;
        }
        let upto = match sources.get(&source) {
            Some(upto) => *upto,
            None => store.source_status(&source)?.read_until.map_or(now, |until| until.min(now)),
        };
        read_until
            .entry(context.project_id(&source, &native))
            .and_modify(|known: &mut Millis| *known = upto.min(*known))
            .or_insert(upto);
        sources.insert(source, upto);
    }
    Ok(read_until)
}

/// How far each project's grid was exported.
pub(super) struct Exported<'a> {
    store: &'a Store,
    /// Of the projects that were asked for.
    known: BTreeMap<String, Option<Millis>>,
    /// What is not stored yet.
    done: BTreeMap<Unit, Vec<(String, Millis)>>,
}

impl<'a> Exported<'a> {
    pub(super) fn read<'p>(store: &'a Store, projects: impl Iterator<Item = &'p String>) -> Result<Self> {
        let names: Vec<&String> = projects.collect();
        let mut known = BTreeMap::new();
        for names in names.chunks(WAITING) {
            let found = store.metadata_of(METADATA_GROUP, names)?;
            known.extend(names.iter().map(|name| (*name).clone()).zip(found));
        }
        Ok(Self { store, known, done: BTreeMap::new() })
    }

    pub(super) fn until(&self, project_id: &str) -> Result<Option<Millis>> {
        match self.known.get(project_id) {
            Some(until) => Ok(*until),
            None => self.store.metadata(METADATA_GROUP, project_id),
        }
    }

    /// Notes that the backend has a project's grid up to there. It is stored with that of others, or `at_once` where much would have to be
    /// sent again.
    pub(super) fn note(&mut self, project_id: &str, upto: Millis, at_once: bool) -> Result<()> {
        if self.until(project_id)?.is_none_or(|known| known < upto) {
            self.done.entry(Unit::of_project(project_id)).or_default().push((project_id.to_owned(), upto));
        }
        if at_once || self.done.values().map(Vec::len).sum::<usize>() >= WAITING { self.save() } else { Ok(()) }
    }

    /// Stores what was noted. Where another replica has a unit by now, that sends the same again.
    pub(super) fn save(&mut self) -> Result<()> {
        while let Some((unit, projects)) = self.done.pop_first() {
            let Some(_working) = self.store.enter(&unit) else { continue };
            let store = self.store.of(unit);
            let mut transaction = store.begin()?;
            let mut wanted = Wanted::default();
            projects.iter().for_each(|(project_id, _)| wanted.metadata(METADATA_GROUP, project_id));
            transaction.load(wanted)?;
            for (project_id, upto) in &projects {
                let known: Option<Millis> = transaction.metadata(METADATA_GROUP, project_id)?;
                if known.is_none_or(|known| known < *upto) {
                    transaction.put_metadata(METADATA_GROUP, project_id, upto)?;
                }
            }
            transaction.commit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::MemoryKv;
    use crate::store::counting::CountingKv;

    #[test]
    fn what_was_exported_of_many_projects_is_read_and_stored_in_few_calls_and_never_goes_back() {
        let calls = Arc::new(CountingKv::over(Arc::new(MemoryKv::default())));
        let store = Store::over(Arc::clone(&calls) as Arc<dyn crate::store::Kv>).unwrap();
        let names: Vec<String> = (0..400).map(|number| format!("project-{number}")).collect();
        let note_all = |upto: i64| {
            let mut exported = Exported::read(&store, names.iter()).unwrap();
            for name in &names {
                exported.note(name, Millis(upto), false).unwrap();
            }
            exported.save().unwrap();
        };
        calls.take();
        note_all(1_000);
        let few = calls.take();
        assert!(few < 100, "{few} calls for 400 projects in 16 units");
        note_all(900);
        assert_eq!(calls.take(), 1, "nothing is new");
        let exported = Exported::read(&store, names.iter()).unwrap();
        assert!(names.iter().all(|name| exported.until(name).unwrap() == Some(Millis(1_000))));
        assert_eq!(exported.until("unknown").unwrap(), None);
    }
}
