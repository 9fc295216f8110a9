//! Whether what a filter names exists. A slip of the pen must not look like "nothing matches", so a filter that finds nothing
//! is looked at again: a name that the store has never seen is an error that gives the nearest ones.

use std::collections::BTreeSet;

use super::filter::{SprintFilter, TaskFilter, is_same};
use super::viewer::Viewer;
use crate::config::nearest_known;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::{Change, SmolStr};

/// How many names a message gives.
const SHOWN: usize = 5;

impl Viewer<'_> {
    /// Checks the names of a filter that found no task.
    pub(super) fn check_task_names(&self, filter: &TaskFilter) -> Result<()> {
        self.check_source(filter.source.as_deref())?;
        self.check_project(filter.project.as_deref())?;
        self.check_sprint(filter.sprint.as_deref())?;
        self.check_task(filter.epic.as_deref())?;
        match &filter.assignee {
            Some(typed) => check("person", typed, self.people()?),
            None => Ok(()),
        }
    }

    /// Checks the names of a filter that found no sprint.
    pub(super) fn check_sprint_names(&self, filter: &SprintFilter) -> Result<()> {
        self.check_source(filter.source.as_deref())?;
        self.check_project(filter.project.as_deref())?;
        self.check_sprint(filter.sprint.as_deref())
    }

    /// Checks the name of a source: one of the configuration, or one whose tasks the store still holds.
    pub(super) fn check_source(&self, typed: Option<&str>) -> Result<()> {
        let Some(typed) = typed else { return Ok(()) };
        let mut known: BTreeSet<String> = self.config.sources.iter().map(|source| source.name.clone()).collect();
        known.extend(self.store.totals()?.into_iter().map(|(source, ..)| source.to_string()));
        if known.contains(typed) { Ok(()) } else { Err(unknown("source", typed, &known)) }
    }

    pub(super) fn check_project(&self, typed: Option<&str>) -> Result<()> {
        let Some(typed) = typed else { return Ok(()) };
        let [configured, held] = self.project_names()?;
        // A store that holds nothing yet cannot say that a project does not exist.
        if held.is_empty() { Ok(()) } else { check("project", typed, &configured | &held) }
    }

    /// The projects of the configuration, and those that the store holds.
    fn project_names(&self) -> Result<[BTreeSet<String>; 2]> {
        let mut known: BTreeSet<String> = self.config.projects.iter().map(|project| project.id.clone()).collect();
        let included = self.config.projects.iter().flat_map(|project| &project.include);
        known.extend(included.map(|(_, project)| project.clone()));
        known.extend(self.config.sources.iter().flat_map(|source| source.projects.iter().cloned()));
        let held = self.store.totals()?.into_iter().map(|(_, project, _)| project);
        let of_sprints = self.store.sprints(None)?.into_iter().filter_map(|(_, record)| record.facts.project);
        let mut held: BTreeSet<String> = held.map(String::from).chain(of_sprints).collect();
        // What no project has is stored under an empty name, which nobody can mean.
        [&mut known, &mut held].into_iter().for_each(|names| names.retain(|name| !name.trim().is_empty()));
        Ok([known, held])
    }

    /// The projects with insights that `typed` names: native ones, or those of a portfolio project.
    pub(super) fn insight_projects(&self, typed: &str) -> Result<Vec<String>> {
        let all = self.store.search_insights(|index| index.projects().map(str::to_owned).collect::<Vec<_>>())?;
        let belongs = |project: &String| {
            let mut sources = self.config.sources.iter().filter(|source| source.takes_reports());
            is_same(project, typed) || sources.any(|source| is_same(&self.project_id(&source.name, project), typed))
        };
        let found: Vec<String> = all.iter().filter(|project| belongs(project)).cloned().collect();
        if found.is_empty() {
            let [configured, held] = self.project_names()?;
            // A store that holds nothing yet cannot say that a project does not exist.
            if !(held.is_empty() && all.is_empty()) {
                check("project", typed, configured.into_iter().chain(held).chain(all).collect())?;
            }
        }
        Ok(found)
    }

    fn check_sprint(&self, typed: Option<&str>) -> Result<()> {
        let Some(typed) = typed else { return Ok(()) };
        let all = self.store.sprints(None)?;
        if all.iter().any(|(key, _)| key.native_id == typed) {
            return Ok(());
        }
        check("sprint", typed, all.into_iter().map(|(_, record)| record.facts.name).collect())
    }

    fn check_task(&self, typed: Option<&str>) -> Result<()> {
        match typed {
            Some(typed) if self.find(typed, None, None)?.is_empty() => {
                Err(Error::new(ErrorKind::Config, format!("there is no task `{typed}`")))
            }
            _ => Ok(()),
        }
    }

    /// Everyone that a task is or was assigned to.
    fn people(&self) -> Result<BTreeSet<String>> {
        let mut people: BTreeSet<SmolStr> = BTreeSet::new();
        for item in self.store.tasks(None) {
            for stored in item?.1.timeline {
                match stored.event.change {
                    Change::Created(facts) => people.extend(facts.assignee.clone()),
                    Change::Assigned(to) => people.extend(to),
                    _ => {}
                }
            }
        }
        Ok(people.into_iter().map(String::from).collect())
    }
}

/// Fails unless a name is known. Where none is, nothing has been read that could say so.
fn check(what: &str, typed: &str, mut known: BTreeSet<String>) -> Result<()> {
    known.retain(|name| !name.trim().is_empty());
    match known.is_empty() || known.iter().any(|name| is_same(typed, name)) {
        true => Ok(()),
        false => Err(unknown(what, typed, &known)),
    }
}

/// That a name is none of the known ones.
pub(super) fn unknown(what: &str, typed: &str, known: &BTreeSet<String>) -> Error {
    Error::new(ErrorKind::Config, format!("there is no {what} `{typed}`; {}", suggestion(typed, known)))
}

/// The nearest names, or the first ones where none is near.
fn suggestion(typed: &str, known: &BTreeSet<String>) -> String {
    let mut left: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut near = Vec::new();
    while let Some(name) = nearest_known(typed, &left).filter(|_| near.len() < SHOWN) {
        left.retain(|other| *other != name);
        near.push(format!("`{name}`"));
    }
    match near.as_slice() {
        [] if known.is_empty() => "nothing is known yet: run `contextcore sync`".to_owned(),
        [] => {
            let shown: Vec<&str> = known.iter().map(String::as_str).take(SHOWN).collect();
            let rest = known.len().saturating_sub(SHOWN);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("known: {}{more}", shown.join(", "))
        }
        near => format!("did you mean {}?", near.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_is_not_offered() {
        let known: BTreeSet<String> = ["", " ", "OPS"].map(str::to_owned).into();
        let error = check("project", "x", known).unwrap_err();
        assert_eq!(error.message(), "there is no project `x`; known: OPS");
        assert!(check("sprint", "x", BTreeSet::from([String::new()])).is_ok(), "nothing is known");
    }

    #[test]
    fn the_nearest_names_are_given_or_else_the_first() {
        let known: BTreeSet<String> = ["Ada", "Adam", "Ben", "Checkout Sprint 1"].map(str::to_owned).into();
        assert_eq!(suggestion("Adaa", &known), "did you mean `Ada` or `Adam`?");
        assert_eq!(suggestion("zzzzzz", &known), "known: Ada, Adam, Ben, Checkout Sprint 1");
        assert_eq!(suggestion("checkout sprnt 1", &known), "did you mean `Checkout Sprint 1`?");
        let many: BTreeSet<String> = (100..120).map(|number| number.to_string()).collect();
        assert_eq!(suggestion("zzzzzz", &many), "known: 100, 101, 102, 103, 104 and 15 more");
    }
}
