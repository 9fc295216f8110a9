//! Unites what the configuration and the projects file say about projects. A key that the configuration writes wins. Of several
//! entries of the file, the highest criticality counts, and for everything else the first that says something. Entries that the
//! controller wrote agree already: they have the owner and value of the oldest context.

use std::collections::BTreeMap;

use super::entry::ProjectEntry;
use crate::model::config::{Criticality, ProjectConfig, SourceConfig, WrittenProject};

/// The projects, and what a person should know about them: every disagreement, and what was left out.
pub(in crate::config) fn merge(
    written: &[WrittenProject],
    entries: &[ProjectEntry],
    sources: &[SourceConfig],
) -> (Vec<ProjectConfig>, Vec<String>) {
    let mut by_id: BTreeMap<&str, Vec<&ProjectEntry>> = BTreeMap::new();
    for entry in entries {
        by_id.entry(&entry.id).or_default().push(entry);
    }
    let mut work = Merge { sources, owners: BTreeMap::new(), notes: Vec::new() };
    // What the configuration includes belongs to it, whoever else claims it.
    for project in written {
        for pair in project.include.iter().flatten() {
            let owner = || Owner { project: project.id.clone(), place: "the configuration".to_owned() };
            work.owners.entry(pair.clone()).or_insert_with(owner);
        }
    }
    // Then to the first that claims it.
    let includes_itself = |id: &str| written.iter().any(|project| project.id == id && project.include.is_some());
    for entry in entries.iter().filter(|entry| !includes_itself(&entry.id)) {
        for pair in entry.included(sources).0 {
            work.owners.entry(pair).or_insert_with(|| Owner { project: entry.id.clone(), place: entry.place() });
        }
    }
    let mut projects: Vec<ProjectConfig> = Vec::new();
    for project in written {
        let said = by_id.remove(project.id.as_str()).unwrap_or_default();
        projects.push(work.project(project, &said));
    }
    for (id, said) in by_id {
        let nothing = WrittenProject { id: id.to_owned(), ..WrittenProject::default() };
        projects.push(work.project(&nothing, &said));
    }
    (projects, work.notes)
}

struct Merge<'a> {
    sources: &'a [SourceConfig],
    /// The project that each native project belongs to.
    owners: BTreeMap<(String, String), Owner>,
    notes: Vec<String>,
}

/// The project that has a native project, and where that is said.
struct Owner {
    project: String,
    place: String,
}

impl Merge<'_> {
    fn project(&mut self, written: &WrittenProject, said: &[&ProjectEntry]) -> ProjectConfig {
        let id = &written.id;
        let name = self.text(id, "name", written.name.as_ref(), said, |entry| entry.name.as_ref());
        ProjectConfig {
            id: id.clone(),
            name: name.unwrap_or_else(|| id.clone()),
            owner: self.text(id, "owner", written.owner.as_ref(), said, |entry| entry.owner.as_ref()),
            criticality: self.criticality(written, said),
            value: self.text(id, "value", written.value.as_ref(), said, |entry| entry.value.as_ref()),
            epic: self.text(id, "epic", None, said, |entry| entry.epic.as_ref()),
            include: self.include(written, said),
            repositories: repositories(said),
            contexts: said.iter().map(|entry| entry.context.clone()).collect(),
        }
    }

    /// What counts of a key that is text.
    fn text(
        &mut self,
        id: &str,
        key: &str,
        written: Option<&String>,
        said: &[&ProjectEntry],
        of: fn(&ProjectEntry) -> Option<&String>,
    ) -> Option<String> {
        let mut all = said.iter().filter_map(|entry| Some((entry, of(entry)?)));
        let first = all.next();
        for (entry, other) in all {
            if let Some((known, text)) = first.filter(|(_, text)| *text != other && written.is_none()) {
                let (known, place) = (known.place(), entry.place());
                self.notes.push(format!("{id}: {key} is {text} in {known} and {other} in {place}: the first counts"));
            }
        }
        let first = first.map(|(_, text)| text);
        if let (Some(written), Some(said)) = (written, first.filter(|said| Some(*said) != written)) {
            self.disagree(id, key, written, said);
        }
        written.or(first).cloned()
    }

    fn criticality(&mut self, written: &WrittenProject, said: &[&ProjectEntry]) -> Option<Criticality> {
        let of_context = |entry: &&ProjectEntry| entry.context.origin.as_ref().and_then(|origin| origin.criticality);
        let highest = said.iter().flat_map(|entry| [entry.criticality, of_context(entry)]).flatten().min();
        if let (Some(ours), Some(theirs)) = (written.criticality, highest)
            && ours != theirs
        {
            self.disagree(&written.id, "criticality", ours.as_str(), theirs.as_str());
        }
        written.criticality.or(highest)
    }

    /// Its native projects. Each belongs to one project at most, or its tasks would have two ids to report.
    fn include(&mut self, written: &WrittenProject, said: &[&ProjectEntry]) -> Vec<(String, String)> {
        let mut theirs: Vec<(String, String)> = Vec::new();
        for entry in said {
            let (included, notes) = entry.included(self.sources);
            self.notes.extend(notes);
            theirs.extend(included.into_iter().filter(|pair| written.include.is_none() && self.has(pair, entry)));
        }
        let Some(ours) = &written.include else {
            theirs.sort();
            theirs.dedup();
            return theirs;
        };
        let said = said.iter().flat_map(|entry| &entry.include);
        let others: Vec<String> = said.filter(|pair| !ours.contains(pair)).map(readable).collect();
        if !others.is_empty() {
            let ours: Vec<String> = ours.iter().map(readable).collect();
            self.disagree(&written.id, "include", &ours.join(", "), &others.join(", "));
        }
        ours.clone()
    }

    /// Whether a native project belongs to the entry's project. Which of two is right is not known here, so that both are named.
    fn has(&mut self, pair: &(String, String), entry: &ProjectEntry) -> bool {
        let other = self.owners.get(pair).filter(|owner| owner.project != entry.id);
        if let Some(Owner { project, place }) = other {
            let (what, here, id) = (readable(pair), entry.place(), &entry.id);
            self.notes.push(format!(
                "{what} is included by project {project} in {place} and by project {id} in {here}: the first counts; \
                 remove it from the one that it does not belong to"
            ));
        }
        other.is_none()
    }

    fn disagree(&mut self, id: &str, key: &str, written: &str, said: &str) {
        self.notes.push(format!(
            "{id}: {key} is {written} in the configuration and {said} in the projects file: the configuration wins"
        ));
    }
}

fn readable((source, project): &(String, String)) -> String {
    format!("{project} of {source}")
}

fn repositories(said: &[&ProjectEntry]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for repository in said.iter().flat_map(|entry| &entry.repositories) {
        if !all.contains(repository) {
            all.push(repository.clone());
        }
    }
    all
}
